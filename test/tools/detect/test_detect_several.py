"""Several recordings, topics and videos at once: read in parallel, with the results of each alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bags import write_bag
from detect_command import files, run
from media import pan
from rosbags.rosbag2 import StoragePlugin

from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.tools.detect.several import SeveralSources, open_inputs
from trt_ssd_ros.tools.results import ImageResult, read_results

PATIENCE = 20


class Numbers(ImageSource):
    """A source of some images; it records which of them are decoded."""

    def __init__(self, count: int, barrier: threading.Barrier | None = None) -> None:
        self.count = count
        self.decoded: list[int] = []
        self.closed = False
        self._barrier = barrier

    def captures(self) -> Iterator[Capture]:
        """See ImageSource."""
        for number in range(self.count or 0):
            yield partial(self._decode, number)

    def _decode(self, number: int) -> SourceImage:
        if self._barrier is not None:
            self._barrier.wait(PATIENCE)  # raises unless all sources decode at once
        self.decoded.append(number)
        return SourceImage(number, str(number), np.full((2, 2, 3), number, np.uint8))

    def close(self) -> None:
        """See ImageSource."""
        self.closed = True


def several(*sources: Numbers) -> SeveralSources:
    """The sources as a, b, c and so on."""
    return SeveralSources(dict(zip("abc", sources, strict=False)))


def test_images_take_turns_until_their_source_ends():
    images = several(Numbers(2), Numbers(4), Numbers(0))
    expected = ["a/0", "b/0", "a/1", "b/1", "b/2", "b/3"]
    assert [image.name for image in images.images()] == expected
    assert [image.index for image in images.images()] == list(range(6))
    assert [capture().name for capture in images.captures()] == expected
    assert images.count == 6


@pytest.mark.parametrize("start", range(8))
def test_a_resumed_run_sees_the_rest_and_decodes_no_more(start):
    sources = Numbers(2), Numbers(5)
    images = several(*sources)
    whole = [(image.index, image.name) for image in images.images()]
    for source in sources:
        source.decoded.clear()
    assert [(image.index, image.name) for image in images.images(start)] == whole[start:]
    assert sum(len(source.decoded) for source in sources) == len(whole[start:])
    images.close()
    assert all(source.closed for source in sources)


def test_all_sources_are_read_at_once():
    barrier = threading.Barrier(3)
    images = several(*(Numbers(4, barrier) for _ in range(3)))
    assert len(list(images.images())) == 12


def test_a_damaged_source_ends_the_run_with_its_error():
    damaged = Numbers(4, threading.Barrier(1))
    damaged._decode = partial(fail, damaged._decode)
    images = several(Numbers(9), damaged).images()
    assert [next(images).name for _ in range(5)] == ["a/0", "b/0", "a/1", "b/1", "a/2"]
    with pytest.raises(SourceError, match="damaged"):
        next(images)


def fail(decode: Any, number: int) -> SourceImage:
    """Decode an image, but for the third."""
    if number == 2:
        raise SourceError("damaged")
    return decode(number)


def test_the_number_of_images_is_unknown_if_that_of_one_source_is():
    unknown = Numbers(3)
    unknown.count = None
    assert several(Numbers(2), unknown).count is None


@pytest.fixture
def bags(tmp_path: Path, repository: Path) -> tuple[Path, Path]:
    """Two recordings of different length and storage, whose pictures differ."""
    cat, room = (cv2.imread(str(repository / "photos" / f"{name}.jpg")) for name in ("chelsea", "coffee"))
    (tmp_path / "bags").mkdir()
    monday = write_bag(tmp_path / "bags" / "monday", pan(cat, 3), StoragePlugin.MCAP)
    tuesday = write_bag(tmp_path / "bags" / "tuesday", pan(room, 5), StoragePlugin.SQLITE3, topics=("/a", "/b"))
    return monday, tuesday


def results(folder: Path, source: str = "") -> list[ImageResult]:
    """The results whose images belong to a source, all by default."""
    every = list(read_results(folder / "results.jsonl"))
    return [result for result in every if result.name.rpartition("/")[0] == source]


def assert_same(together: list[ImageResult], alone: list[ImageResult]) -> None:
    """The same images have the same detections."""
    assert len(together) == len(alone) > 0
    for found, expected in zip(together, alone, strict=True):
        assert found.name.rpartition("/")[2] == expected.name
        assert found.seconds == expected.seconds
        np.testing.assert_array_equal(found.detections.class_ids, expected.detections.class_ids)
        np.testing.assert_allclose(found.detections.scores, expected.detections.scores, atol=1e-4)
        np.testing.assert_allclose(found.detections.boxes, expected.detections.boxes, atol=0.1)


def test_recordings_and_topics_have_the_results_of_each_alone(tmp_path, bags):
    monday, tuesday = bags
    assert run(monday, "--output", tmp_path / "1", "--no-draw") == 0
    assert run(tuesday, "--topic", "/a", "--output", tmp_path / "2", "--no-draw") == 0
    assert run(monday, tmp_path / "bags" / "again", "--output", tmp_path / "3", "--no-draw") == 1
    assert not (tmp_path / "3").exists()
    both = tmp_path / "4"
    assert run(tuesday, "--topic", "/a", "--topic", "/b", "--batch", 2, "--output", both, "--draw", "jpg") == 0
    for topic in ("a", "b"):
        assert_same(results(both, f"tuesday/{topic}"), results(tmp_path / "2"))
    assert len([name for name in files(both) if name.startswith("annotated/tuesday/")]) == 10
    (tmp_path / "bags" / "wednesday").symlink_to(monday)
    days = tmp_path / "5"
    assert run(monday, tmp_path / "bags" / "wednesday", "--batch", 3, "--output", days, "--format", "kitti") == 0
    for day in ("monday", "wednesday"):
        assert_same(results(days, day), results(tmp_path / "1"))
        assert (days / "annotated" / f"{day}.mp4").stat().st_size > 0
        assert len(list((days / "kitti" / day).iterdir())) == 3


def test_an_interrupted_run_of_several_is_resumed(tmp_path, bags):
    monday, tuesday = bags
    inputs = (monday, tuesday, "--topic", "/camera", "--batch", 2, "--no-draw")
    assert run(*inputs, "--output", tmp_path / "no") == 1, "tuesday has no such topic"
    video = tmp_path / "bags" / "monday"
    inputs = (video, tmp_path / "bags" / "other", "--batch", 2, "--no-draw")
    write_bag(tmp_path / "bags" / "other", [np.zeros((90, 120, 3), np.uint8)] * 5, StoragePlugin.SQLITE3)
    assert run(*inputs, "--output", tmp_path / "whole") == 0
    assert run(*inputs, "--output", tmp_path / "parts", "--max-images", 4) == 0
    assert run(*inputs, "--output", tmp_path / "parts", "--resume") == 0
    whole, parts = ((tmp_path / name / "results.jsonl").read_text() for name in ("whole", "parts"))
    assert parts == whole
    assert [json.loads(line)["index"] for line in whole.splitlines()[1:]] == list(range(8))


@pytest.mark.parametrize("other", ["photos/chelsea.jpg", "rtsp://127.0.0.1:9/none"])
def test_neither_images_nor_cameras_mix_with_recordings(repository, bags, other):
    name = other if ":" in other else str(repository / other)
    with pytest.raises(SourceError, match="among several inputs, expected recordings and videos only"):
        open_inputs([str(bags[0]), name], [], (), threading.Event())
