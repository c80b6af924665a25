"""`evaluate --ray` on a real cluster."""

from __future__ import annotations

import subprocess
import sys

import cv2
import pytest
from annotated_images import write_coco
from detect_command import run
from fleet import fleet_environment

from trt_ssd_ros.bench.cluster.kills import expect_equal
from trt_ssd_ros.tools.evaluate.__main__ import main
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage
from trt_ssd_ros.tools.evaluate.evaluation import Observation
from trt_ssd_ros.tools.evaluate.on_cluster import _with_results

IMAGES = 70
"""More than one unit."""


def test_the_report_is_that_of_one_machine(tmp_path, photo, monkeypatch):
    """Of a detector, the results of another one, and a second detector; with an image that cannot be read."""
    environment = fleet_environment()
    monkeypatch.chdir(tmp_path)  # the message about the unreadable image has the relative path
    (tmp_path / "images").mkdir()
    cat = cv2.resize(photo("chelsea"), (160, 120))
    truth = {f"{number:02d}.png": [("Cat", (20.0, 5.0, 150.0, 115.0))] for number in range(IMAGES)}
    for name in truth:
        cv2.imwrite(f"images/{name}", cat[: 120 - int(name[:2]) // 2])
    assert run("images", "--output", "found", "--no-draw", "--threshold", 0.2) == 0
    (tmp_path / "images" / "66.png").write_bytes(b"broken")
    settings = ["--images", "images", "--annotations", str(write_coco(tmp_path / "truth", truth))]
    runs = ["onnxruntime", "old=found/results.jsonl", "half=onnxruntime", "--roi", "0,0,1,0.9"]
    assert main([*settings, *runs, "--output", "one"]) == 0
    command = [sys.executable, "-m", "trt_ssd_ros.tools.evaluate", *settings, *runs, "--output", "many"]
    done = subprocess.run(
        [*command, "--ray", "local"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    expect_equal(tmp_path / "one", tmp_path / "many")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray", "local"], "--ray needs ray (No module named 'ray'): pip install ray"),
        (["--ray", "local", "--gpu", "1"], "--gpu: found 1 beside --ray, which chooses the GPU of each worker"),
    ],
)
def test_what_does_not_go_with_a_cluster_is_refused(arguments, said, tmp_path, photo, capsys):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), photo("chelsea"))
    annotations = write_coco(tmp_path / "truth", {"a.png": [("Cat", (20.0, 5.0, 150.0, 115.0))]})
    settings = ["--images", tmp_path / "images", "--annotations", annotations, "--output", tmp_path / "out"]
    assert main([*map(str, settings), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_an_image_that_only_a_node_cannot_read_ends_the_evaluation(tmp_path, photo):
    here, nowhere = tmp_path / "a.png", tmp_path / "b.png"
    cv2.imwrite(str(here), photo("chelsea"))
    lost = Observation(problem="cannot read it")
    assert _with_results(lost, AnnotatedImage("b.png", nowhere, ()), []) == lost
    with pytest.raises(
        RuntimeError, match=r"a node cannot read a\.png, and this machine can: cannot read it: all"
    ):
        _with_results(lost, AnnotatedImage("a.png", here, ()), [])
