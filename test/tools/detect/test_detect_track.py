"""detect --track: ids in every file, one tracker for each source, and runs that go on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from bags import write_bag
from detect_command import files, run
from media import pan, write_video
from rosbags.rosbag2 import StoragePlugin

from trt_ssd_ros.tools.results import read_results

FORMATS = ("--format", "coco", "csv", "mot", "kitti")


@pytest.fixture(scope="module")
def hidden_cat(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A video of a cat that is hidden for a third of a second."""
    pictures = pan(cv2.imread(str(repository / "photos" / "chelsea.jpg")), 40)
    pictures[15:25] = [np.zeros_like(pictures[0])] * 10
    return write_video(tmp_path_factory.mktemp("video") / "cat.mp4", pictures)


def ids(folder: Path) -> list[list[str]]:
    """The ids in the results by image."""
    return [
        result.detections.ids.tolist() if len(result.detections) else []
        for result in read_results(folder / "results.jsonl")
    ]


def test_an_object_has_one_id_in_every_file(tmp_path, hidden_cat):
    assert run(hidden_cat, "--track", "--output", tmp_path, "--draw", "mp4", *FORMATS) == 0
    found = ids(tmp_path)
    assert found[0] == [""]
    assert found[15:25] == [[]] * 10
    [name] = {name for image in found[1:] for name in image}
    annotations = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    rows = list(csv.DictReader((tmp_path / "detections.csv").open()))
    assert [a["track_id"] for a in annotations] == [row["id"] for row in rows] == ["", *[name] * 29]
    lines = [line.split(",") for line in (tmp_path / "mot.txt").read_text().splitlines()]
    assert [int(line[0]) for line in lines] == [*range(2, 16), *range(26, 41)]
    assert {line[1] for line in lines} == {"1"}
    assert [line[7:] for line in lines] == [["-1", "-1", "-1"]] * 29
    left, top, width, height = annotations[1]["bbox"]
    np.testing.assert_allclose([float(n) for n in lines[0][2:6]], [left + 1, top + 1, width, height], atol=0.01)
    assert float(lines[0][6]) == annotations[1]["score"]


def test_without_tracking_no_file_has_ids(tmp_path, hidden_cat):
    assert run(hidden_cat, "--output", tmp_path, "--no-draw", "--format", "coco", "csv", "--max-images", 3) == 0
    assert not any(
        "id" in d for line in (tmp_path / "results.jsonl").open() for d in json.loads(line).get("detections", ())
    )
    assert "track_id" not in (tmp_path / "coco.json").read_text()
    assert "id" not in csv.DictReader((tmp_path / "detections.csv").open()).fieldnames


@pytest.mark.parametrize("draw", ["none", "mp4"])
def test_a_run_that_goes_on_continues_the_tracks(tmp_path, hidden_cat, draw):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = (hidden_cat, "--track", "--batch", 2, "--draw", draw, *FORMATS, "--output")
    assert run(*options, whole) == 0
    assert run(*options, parts, "--max-images", 20) == 0, "until the cat is hidden"
    assert run(*options, parts, "--resume") == 0
    assert files(whole) == files(parts)
    for name in files(whole):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name


def test_a_run_whose_ids_cannot_be_continued_is_refused(tmp_path, hidden_cat, capsys):
    options, log = (hidden_cat, "--track", "--no-draw", "--output", tmp_path), tmp_path / "results.jsonl"
    assert run(*options, "--max-images", 3) == 0
    assert run(*options, "--track-max-gap", 2, "--resume") == 1
    assert f"differs from {log}: track max gap 2.0 instead of 1.0: give the" in capsys.readouterr().err
    assert run(*options[:1], *options[2:], "--resume") == 1
    assert f"differs from {log}: track none instead of on: give the" in capsys.readouterr().err
    log.write_text(log.read_text().replace('-1"', '-7"'))
    assert run(*options, "--resume") == 1
    assert "--resume: tracking 000001 again gives other ids than the earlier run" in capsys.readouterr().err


def test_every_recording_has_a_tracker_of_its_own(tmp_path, photo):
    pictures = pan(photo("chelsea"), 6)
    for name in ("a", "b"):
        write_bag(tmp_path / name, pictures, StoragePlugin.SQLITE3)
    out = tmp_path / "out"
    assert run(tmp_path / "a", tmp_path / "b", "--track", "--no-draw", "--format", "mot", "--output", out) == 0
    found = ids(out)
    assert found[:2] == [[""], [""]]
    assert len({image[0] for image in found[2:]}) == 2
    assert files(out) == ["mot/a.txt", "mot/b.txt", "results.jsonl"]
    lines = [(out / "mot" / f"{name}.txt").read_text().splitlines() for name in ("a", "b")]
    assert [[line.split(",")[:2] for line in text] for text in lines] == [
        [[str(frame), str(number)] for frame in range(2, 7)] for number in (1, 2)
    ]
