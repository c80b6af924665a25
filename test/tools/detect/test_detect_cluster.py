"""`detect --ray` on real clusters: a local one, and nodes that are processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from detect_command import ONNX, files, run
from fleet import Fleet, fleet, fleet_environment

from trt_ssd_ros.bench.cluster.kills import expect_equal


@pytest.fixture(scope="module")
def one_node() -> Iterator[Fleet]:
    """A cluster with one node, which the tests leave as it is."""
    with fleet(1) as found:
        yield found


def start(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trt_ssd_ros.tools.detect", *map(str, arguments), *ONNX]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_on_ray(environment: dict[str, str], *arguments: object) -> tuple[int, str]:
    process = start(environment, *arguments)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.fixture
def photos(tmp_path: Path, repository: Path) -> Path:
    """Photos, one of which cannot be read."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, path in enumerate(sorted((repository / "photos").glob("*.jpg")) * 3):
        (folder / f"{number}.jpg").write_bytes(path.read_bytes() if number != 4 else b"broken")
    return folder


def test_without_ray_it_says_what_to_install(tmp_path, video, capsys):
    assert run(video, "--output", tmp_path / "out", "--ray", "local") == 1
    assert capsys.readouterr().err == "detect: --ray needs ray (No module named 'ray'): pip install ray\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["webcam:63", "--ray", "local"], "webcam"),
        (
            ["VIDEO", "--ray", "local", "--gpu", "1"],
            "--gpu: found 1 beside --ray, expected none: Ray chooses the GPU of a worker",
        ),
        (["VIDEO", "--ray", ""], "--ray: found nothing, expected local, auto or HOST:PORT"),
        (["VIDEO", "--ray", "ray://host:1"], "found ray://host:1, expected local, auto or HOST:PORT"),
    ],
)
def test_what_does_not_go_with_a_cluster_is_refused(arguments, found, tmp_path, video, capsys):
    assert run(*(str(video) if text == "VIDEO" else text for text in arguments), "--output", tmp_path / "out") == 1
    assert found in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_local_cluster_gives_the_same_files_and_leaves_none(tmp_path, video):
    environment = fleet_environment()
    short = Path("/tmp") / f"tsr{os.getpid()}"  # noqa: S108 - names of sockets are limited to 107 bytes
    short.mkdir()
    twins = [tmp_path / f"{number}.mp4" for number in range(2)]
    for twin in twins:
        twin.write_bytes(video.read_bytes())
    arguments = *twins, "--track", "--format", "coco", "csv", "mot"
    on_ray = *arguments, "--ray", "local", "--ray-slice", 16
    assert run(*arguments, "--output", tmp_path / "one") == 0
    code, said = run_on_ray({**environment, "RAY_TMPDIR": str(short)}, *on_ray, "--output", tmp_path / "many")
    assert code == 0, said
    assert "worker 1 is ready on node" in said
    assert files(tmp_path / "many") == [
        *("annotated/0.mp4.mp4", "annotated/1.mp4.mp4", "coco.json", "detections.csv"),
        *("mot/0.mp4.txt", "mot/1.mp4.txt", "results.jsonl"),
    ]
    expect_equal(tmp_path / "one", tmp_path / "many")
    short.rmdir()  # it is empty


def test_images_with_batches_and_an_unreadable_one_are_the_same(tmp_path, photos, one_node, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the message about the unreadable image has the relative path
    arguments = photos.name, "--batch", 2, "--draw", "none", "--format", "kitti", "csv"
    on_ray = *arguments, "--output", "many", "--ray-slice", 3
    assert run(*arguments, "--output", "one") == 0
    code, said = run_on_ray(one_node.environment, *on_ray, "--ray", one_node.address)
    assert code == 0, said
    assert said.count("skipped 4.jpg: cannot read in/4.jpg as an image") == 1
    expect_equal(tmp_path / "one", tmp_path / "many")
    code, said = run_on_ray(one_node.environment, *on_ray, "--ray", "auto", "--resume")
    assert code == 0, said
    expect_equal(tmp_path / "one", tmp_path / "many")


def test_an_interrupted_run_goes_on_without_its_finished_units(tmp_path, video, one_node):
    out = tmp_path / "out"
    arguments = video, "--output", out, "--no-draw", "--ray", one_node.address, "--ray-slice", 5
    process = start(one_node.environment, *arguments, "--json")
    for _ in range(10):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.endswith("detect: interrupted; --resume continues the run\n")
    shutil.copytree(out, tmp_path / "here")
    log, unit = out / "results.jsonl", out / "units" / "0-5-10.jsonl"
    unit.write_text(unit.read_text().replace('"label": "cat", "score": 0.', '"label": "cat", "score": 0.0'))
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:8]))  # as if killed before the rest
    code, said = run_on_ray(one_node.environment, *arguments, "--resume")
    assert code == 0, said
    lines = log.read_text().splitlines()[1:]
    assert len(lines) == 60
    assert ['"score": 0.0' in line for line in lines] == [7 <= number < 10 for number in range(60)]
    assert files(out) == ["coco.json", "results.jsonl"]
    assert run(video, "--output", tmp_path / "here", "--no-draw", "--resume") == 0  # on this machine
    assert run(video, "--output", tmp_path / "whole", "--no-draw") == 0
    expect_equal(tmp_path / "whole", tmp_path / "here")


def test_a_worker_that_cannot_open_its_engine_ends_the_run_with_the_reason(tmp_path, video, card_path, one_node):
    card = tmp_path / "card.yaml"
    card.write_text(card_path.read_text().replace("ssdlite_mobilenet_v2_coco.onnx", "missing.onnx"))
    out = tmp_path / "out"
    code, said = run_on_ray(
        one_node.environment, video, "--model", card, "--output", out, "--ray", one_node.address
    )
    assert code == 1
    assert said.startswith("detect: node ")
    assert "missing.onnx (No such file or directory), expected a readable file" in said
    assert not out.exists()


def test_missing_room_is_said_and_a_new_node_ends_the_waiting(tmp_path, video):
    arguments = video, "--max-images", 12, "--draw", "jpg"
    assert run(*arguments, "--output", tmp_path / "one") == 0
    with fleet(0) as nodes:
        process = start(nodes.environment, *arguments, "--output", tmp_path / "many", "--ray", nodes.address)
        lacking = "a worker needs 1 CPU core of one node, the cluster has 1 node with 0 CPU cores and 0 GPUs"
        assert f"no worker is ready: {lacking}" in process.stderr.readline()
        nodes.order("add_node")
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    expect_equal(tmp_path / "one", tmp_path / "many")


def test_a_worker_that_hangs_is_killed_and_its_images_go_to_another_one(tmp_path, video):
    arguments = video, "--draw", "none", "--track", "--format", "csv", "mot"
    assert run(*arguments, "--output", tmp_path / "one") == 0
    on_ray = *arguments, "--output", tmp_path / "many", "--ray-slice", 4, "--ray-timeout", 8, "--json"
    with fleet(1) as nodes:
        process = start(nodes.environment, *on_ray, "--ray", nodes.address)
        assert process.stdout.readline()
        nodes.order("stop_worker")
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert ": it made no progress for 8 s" in said
    expect_equal(tmp_path / "one", tmp_path / "many")


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path, video):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # a port on which no process listens
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, said = run_on_ray(fleet_environment(), video, "--output", tmp_path / "out", "--ray", address)
    assert code == 1
    assert said.startswith(f"detect: --ray {address}: no cluster: [Errno 111] Connection refused: start a cluster")


def test_a_missing_token_is_said_on_one_line(tmp_path, video, one_node):
    environment = {name: text for name, text in fleet_environment().items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}  # Ray reads a token in the home folder, too
    code, said = run_on_ray(environment, video, "--output", tmp_path / "out", "--ray", one_node.address)
    assert code == 1
    assert said.startswith(f"detect: --ray {one_node.address}: no cluster: Token authentication is enabled")
    assert said.count("\n") == 1


def test_a_killed_worker_node_and_driver_change_nothing():
    command = [sys.executable, "-m", "trt_ssd_ros.bench.cluster", "kills", "--rounds", "1", "--together"]
    done = subprocess.run(command, env=fleet_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(", resumed: output identical\n")
