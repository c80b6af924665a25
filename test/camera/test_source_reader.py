"""SourceReader: reads a source in a thread, without a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rclpy.logging import get_logger

from trt_ssd_ros.camera import source_reader
from trt_ssd_ros.camera.source_reader import HANG, LONGEST_RETRY, Playback, SourceReader
from trt_ssd_ros.images.open_source import find_source
from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage

pytestmark = pytest.mark.ros
PATIENCE = 30.0


class Viewer:
    """A viewer that wants images, except where its next answers say otherwise."""

    demand = "the test"
    is_ending = False

    def __init__(self) -> None:
        self.answers: list[bool] = []
        self.opened = Semaphore(0)
        self.ended: list[Exception | None] = []

    def is_wanted(self) -> bool:
        """See Viewer."""
        return self.answers.pop(0) if self.answers else True

    def note_opened(self, pace: str) -> None:  # noqa: ARG002 - the interface of viewers
        """See Viewer."""
        self.opened.release()

    def show(self, capture: Capture) -> bool:
        """See Viewer."""
        capture()
        return True

    def end(self, error: Exception | None) -> None:
        """See Viewer."""
        self.ended.append(error)


class Source(ImageSource):
    """A live source that returns an image when `go_on` is set."""

    live = True
    trouble = ""
    interruptions = 0

    def __init__(self) -> None:
        self.reading, self.go_on = Event(), Event()

    def captures(self) -> Iterator[Capture]:
        """See `ImageSource.captures`."""
        while True:
            self.reading.set()
            assert self.go_on.wait(PATIENCE)
            yield lambda: SourceImage(0, "0", np.zeros((4, 6, 3), np.uint8))


class Clock:
    """A clock that the test moves."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock of the readers."""
    clock = Clock()
    monkeypatch.setattr(source_reader, "monotonic", lambda: clock.now)
    return clock


def test_the_time_of_an_interruption_is_no_hang(clock):
    source = Source()
    reader = SourceReader(lambda: source, Playback(), Viewer(), get_logger("reader"))
    reader.start()
    assert source.reading.wait(PATIENCE)
    source.trouble = "the images have stopped"
    clock.now += 10 * HANG
    assert reader.find_hang() == ""
    source.trouble = ""
    clock.now += HANG
    assert reader.find_hang() == ""
    clock.now += 1
    assert reader.find_hang() == f"the source hangs: no image for {HANG:g} s"
    reader.stop(seconds=0)
    source.go_on.set()
    reader.stop(PATIENCE)


def test_interruptions_are_counted_beyond_the_end_of_a_source():
    sources: list[Source] = []

    def find() -> Source:
        sources.append(Source())
        return sources[-1]

    viewer = Viewer()
    viewer.answers = [True, False]  # at the start, and after the first image
    reader = SourceReader(find, Playback(), viewer, get_logger("reader"))
    reader.start()
    assert sources[0].reading.wait(PATIENCE)
    sources[0].interruptions = 2
    sources[0].go_on.set()
    assert viewer.opened.acquire(timeout=PATIENCE)
    assert viewer.opened.acquire(timeout=PATIENCE), "the second source"
    assert reader.interruptions == 2
    successor = SourceReader(find, Playback(), viewer, get_logger("reader"), reader)
    assert successor.interruptions == 3
    reader.stop(seconds=0)
    sources[1].go_on.set()
    reader.stop(PATIENCE)


def image() -> SourceImage:
    """Return an image."""
    return SourceImage(0, "0", np.zeros((4, 6, 3), np.uint8))


class Failing(ImageSource):
    """A source that shows images while its clock runs for some seconds, then fails."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def captures(self) -> Iterator[Capture]:
        """See `ImageSource.captures`."""
        yield image
        self._clock.now += self._seconds
        yield image
        raise SourceError("it broke")


def test_retries_are_short_again_after_a_good_run(clock, monkeypatch):
    runs = [0.0, 0.0, LONGEST_RETRY, 0.0]
    waits: list[float] = []
    sources = iter([Failing(clock, seconds) for seconds in runs])
    viewer = Viewer()
    reader = SourceReader(lambda: next(sources), Playback(reopens=True), viewer, get_logger("reader"))

    def wait(seconds: float = 0.0) -> bool:
        if seconds in (0.1, 0.2, 0.4):
            waits.append(seconds)
        clock.now += seconds
        return len(waits) == len(runs)

    monkeypatch.setattr(reader, "_stop", SimpleNamespace(wait=wait, is_set=lambda: len(waits) == len(runs)))
    reader._run()
    assert waits == [0.1, 0.2, 0.1, 0.2]


def folder_of(tmp_path: Path, count: int) -> ImageSource:
    """Return the source of a folder with some images."""
    for number in range(count):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image().pixels)
    return find_source(str(tmp_path))


def test_a_start_beyond_the_end_ends_a_camera_that_reopens(tmp_path):
    viewer = Viewer()
    reader = SourceReader(
        lambda: folder_of(tmp_path, 3), Playback(rate=1000.0, start=3, reopens=True), viewer, get_logger("reader")
    )
    reader._run()
    assert list(map(str, viewer.ended)) == ["start: found 3, expected at most 2: the source has 3 images"]
