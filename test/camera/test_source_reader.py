"""SourceReader: reads a source in a thread, without a node."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Semaphore

import numpy as np
import pytest
from rclpy.logging import get_logger

from trt_ssd_ros.camera import source_reader
from trt_ssd_ros.camera.source_reader import HANG, Playback, SourceReader
from trt_ssd_ros.images.source import Capture, ImageSource, SourceImage

pytestmark = pytest.mark.ros
PATIENCE = 30.0


class Viewer:
    """A viewer that wants images, except where its next answers say otherwise."""

    demand = "the test"
    is_ending = False

    def __init__(self) -> None:
        self.answers: list[bool] = []
        self.opened = Semaphore(0)

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
    assert reader.find_hang() == "the source hangs: no image for 10 s"
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
