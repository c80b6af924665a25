"""SourceReader: reads a source in a thread, without a node."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest
from rclpy.logging import get_logger

from trt_ssd_ros.camera import source_reader
from trt_ssd_ros.camera.source_reader import HANG, Playback, SourceReader
from trt_ssd_ros.images.source import Capture, ImageSource, SourceImage

pytestmark = pytest.mark.ros
PATIENCE = 30.0


class Viewer:
    """A viewer that wants images, and sets an event at each."""

    demand = "the test"
    is_ending = False

    def __init__(self) -> None:
        self.wanted = True
        self.shown = Event()
        self.error: Exception | None = None
        self.ended = Event()

    def is_wanted(self) -> bool:
        """See Viewer."""
        return self.wanted

    def note_opened(self, pace: str) -> None:
        """See Viewer."""

    def show(self, capture: Capture) -> bool:
        """See Viewer."""
        capture()
        self.shown.set()
        return True

    def end(self, error: Exception | None) -> None:
        """See Viewer."""
        self.error = error
        self.ended.set()


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
