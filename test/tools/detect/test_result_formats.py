"""Results as JSON lines, and in the formats of others."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.detect.folder import expect_distinct
from trt_ssd_ros.tools.detect.formats import kitti_name, write_coco, write_csv, write_kitti
from trt_ssd_ros.tools.results import (
    ImageResult,
    ResultError,
    ResultHeader,
    completed_images,
    read_header,
    read_results,
    rounded,
)

LABELS = ("Cat", "Coffee cup")
FOUND = Detections(
    np.array([[1.5, 2, 30, 40.25], [0, 0, 10, 10]], np.float32),
    np.array([0.9, 0.5], np.float32),
    np.array([1, 0], np.int32),
)
RESULTS = [
    ImageResult(0, "a/one.jpg", 64, 48, None, FOUND),
    ImageResult(1, "broken.png", 0, 0, None, Detections.empty(), "cannot read it"),
    ImageResult(2, "17.000000005", 64, 48, 17.000000005, Detections.empty()),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    lines = [ResultHeader({"batch": 2}, LABELS).line(), *(result.line(LABELS) for result in RESULTS)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_is_written_is_read(log):
    assert read_header(log) == ResultHeader({"batch": 2}, LABELS)
    for read, written in zip(read_results(log), RESULTS, strict=True):
        assert (read.index, read.name, read.unreadable) == (written.index, written.name, written.unreadable)
        assert (read.width, read.height, read.seconds) == (written.width, written.height, written.seconds)
        np.testing.assert_array_equal(read.detections.boxes, written.detections.boxes)
        np.testing.assert_array_equal(read.detections.scores, written.detections.scores)


numbers = st.floats(0, 8192, width=32)


@given(st.tuples(numbers, numbers, numbers, numbers), st.floats(0, 1, width=32))
def test_what_was_drawn_once_is_drawn_the_same_from_a_line(box, score):
    found = rounded(Detections(np.array([box], np.float32), np.array([score]), np.array([0])))
    line = ImageResult(0, "a", 1, 1, None, found).line(LABELS)
    again = ImageResult.from_fields(json.loads(line), 2).detections
    np.testing.assert_array_equal(again.boxes, found.boxes)
    np.testing.assert_array_equal(again.scores, found.scores)
    assert np.abs(found.boxes - np.array(box, np.float32)).max() < 1e-3


@pytest.mark.parametrize(("multiple", "kept"), [(1, 2), (2, 2), (3, 0)])
@pytest.mark.parametrize("torn", [1, 20, 10_000])
def test_a_killed_run_leaves_whole_groups(log, multiple, kept, torn):
    whole = log.read_bytes().splitlines(keepends=True)
    last = whole[3][: -min(torn, len(whole[3]))]
    log.write_bytes(b"".join(whole[:3]) + last)
    images, size = completed_images(log, multiple)
    assert images == kept
    assert size == len(b"".join(whole[: 1 + kept]))


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("index,image\n1,2\n")
    with pytest.raises(ResultError, match=r"line 1 is no header, expected a results\.jsonl that detect wrote"):
        read_header(path)


def test_a_damaged_line_is_named(log):
    lines = log.read_text().splitlines()
    lines[2] = lines[2].replace("unreadable", "index")
    log.write_text("\n".join(lines))
    with pytest.raises(ResultError, match=r"results.jsonl, line 3: found b'\{"):
        list(read_results(log))
    log.write_text(log.read_text().replace('"class_id": 1', '"class_id": 2'))
    with pytest.raises(ResultError, match=r"results.jsonl, line 2: found b'\{"):
        list(read_results(log))


def test_pycocotools_reads_the_coco_json(log, tmp_path, capsys):
    coco = COCO(str(write_coco(log, tmp_path)))
    capsys.readouterr()
    assert [image["file_name"] for image in coco.dataset["images"]] == ["a/one.jpg", "17.000000005"]
    (first, second) = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert first["bbox"] == [1.5, 2, 28.5, 38.25]
    assert (first["score"], first["area"]) == (0.9, 1090.125)
    assert [coco.cats[a["category_id"]]["name"] for a in (first, second)] == ["Coffee cup", "Cat"]


def test_csv(log, tmp_path):
    rows = list(csv.DictReader(write_csv(log, tmp_path).open()))
    assert [row["label"] for row in rows] == ["Coffee cup", "Cat"]
    assert rows[0] == {
        "index": "0", "image": "a/one.jpg", "seconds": "", "class_id": "1", "label": "Coffee cup", "score": "0.9",
        "x1": "1.5", "y1": "2.0", "x2": "30.0", "y2": "40.25",
    }  # fmt: skip


def test_kitti_has_sixteen_columns_and_a_file_for_an_empty_image(log, tmp_path):
    folder = write_kitti(log, tmp_path)
    first, second = (folder / "a" / "one.txt").read_text().splitlines()
    columns = first.split(" ")
    assert len(columns) == 16
    assert (columns[0], columns[4:8], columns[15]) == (
        "Coffee_cup",
        ["1.50", "2.00", "30.00", "40.25"],
        "0.900000",
    )
    assert second.startswith("Cat ")
    assert (folder / "17.000000005.txt").read_text() == ""


def test_two_images_cannot_share_a_kitti_file():
    with pytest.raises(ResultError, match=r"a/one\.png and a/one\.jpg would both be written to kitti/a/one\.txt"):
        expect_distinct(["a/one.png", "b/one.png", "a/one.jpg"], kitti_name)
