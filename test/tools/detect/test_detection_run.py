"""The stages of a run, with a network that finds nothing and costs nothing."""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
import pytest

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.frame import ChannelOrder
from trt_ssd_ros.images.source import SourceImage
from trt_ssd_ros.tools.detect.annotated import NotAnnotated
from trt_ssd_ros.tools.detect.run import DEPTH, DetectionRun


class Recorder(NotAnnotated):
    wanted = True

    def __init__(self):
        self.names = []

    def add(self, name, *_):
        self.names.append(name)


class BlindDetector:
    """Finds nothing, and remembers in which groups it was asked, and when groups were started and completed."""

    card = SimpleNamespace(labels=("Cat",), first_class_id=0)

    def __init__(self, in_flight=1, broken=()):
        self.in_flight = in_flight
        self.groups = []
        self.calls = []
        self._broken = broken

    def start_batch(self, images, channel_order, sizes):
        assert sizes == [image.shape[:2] for image in images]
        number = len(self.groups)
        self.groups.append(([image.shape[:2] for image in images], channel_order))
        self.calls.append(("start", number))

        def complete():
            self.calls.append(("complete", number))
            if number in self._broken:
                raise RuntimeError(f"batch {number} failed")
            return [Detections.empty()] * len(images)

        return complete


def image(index: int, size: tuple[int, int] = (4, 4), order: ChannelOrder = "bgr") -> SourceImage:
    return SourceImage(index, str(index), np.zeros((*size, 3), np.uint8), order)


def go(
    images: Iterable[SourceImage], batch: int = 1, stop: threading.Event | None = None, **options: object
) -> SimpleNamespace:
    detector, log, output, told = BlindDetector(), io.StringIO(), Recorder(), []
    task = DetectionRun([detector], batch, log, output, told.append)
    task.run(images, stop or threading.Event(), **options)
    assert log.getvalue() == "".join(line + "\n" for line in told)
    return SimpleNamespace(groups=detector.groups, lines=told, drawn=output.names, times=task.times)


def test_memory_stays_flat():
    alive, most = weakref.WeakSet(), 0

    def produce():
        nonlocal most
        for index in range(2000):
            made = image(index)
            alive.add(made)
            most = max(most, len(alive))
            yield made

    assert len(go(produce(), batch=4).lines) == 2000
    assert most <= 4 * (2 * DEPTH + 5)


def test_groups_end_at_multiples_and_have_one_channel_order():
    images = [image(0), image(1), image(2, (8, 4)), image(3), image(4), image(5), image(6), image(7, order="rgb")]
    groups = go(images, batch=3).groups
    small, tall = (4, 4), (8, 4)
    assert groups == [([small, small, tall], "bgr"), ([small] * 3, "bgr"), ([small], "bgr"), ([small], "rgb")]


def test_what_is_known_is_drawn_but_neither_detected_nor_written():
    found = go([image(index) for index in range(5)], known=[SimpleNamespace(detections=Detections.empty())] * 3)
    assert len(found.groups) == len(found.lines) == found.times.images == 2
    assert found.drawn == ["0", "1", "2", "3", "4"]


def test_it_ends_when_it_is_told_to():
    stop = threading.Event()

    def produce():
        for index in range(1000):
            if index == 5:
                stop.set()
            yield image(index)

    found = go(produce(), stop=stop)
    assert 1 <= len(found.lines) < 20
    assert len(found.drawn) == len(found.lines)


def test_errors_of_every_stage_come_out():
    def broken():
        yield image(0)
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        go(broken())
    task = DetectionRun([BlindDetector()], 1, io.StringIO(), NotAnnotated(), lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task.run([image(0), image(1)], threading.Event())


@pytest.mark.parametrize(
    ("in_flight", "live", "calls"),
    [
        (1, False, "start 0, complete 0, start 1, complete 1, start 2, complete 2"),
        (2, False, "start 0, start 1, complete 0, start 2, complete 1, complete 2"),
        (2, True, "start 0, complete 0, start 1, complete 1, start 2, complete 2"),
    ],
)
def test_a_batch_is_started_before_the_one_before_is_completed_except_for_cameras(in_flight, live, calls):
    detector, lines, written = BlindDetector(in_flight), [], threading.Semaphore(0)

    def on_line(line):
        lines.append(line)
        written.release()

    task = DetectionRun([detector], 2, io.StringIO(), NotAnnotated(), on_line)

    def produce():
        for index in range(6):
            yield image(index)
            if live and index in (3, 5):  # the batch before is queued; the next one would replace it there
                assert written.acquire(timeout=10)
                assert written.acquire(timeout=10)

    task.run(produce(), threading.Event(), live=live)
    assert ", ".join(f"{what} {number}" for what, number in detector.calls) == calls
    assert [f'"index": {index}' in line for index, line in enumerate(lines)] == [True] * 6


def test_an_error_in_flight_ends_the_run_after_the_batches_before():
    detector, lines = BlindDetector(in_flight=2, broken=[2]), []
    task = DetectionRun([detector], 2, io.StringIO(), NotAnnotated(), lines.append)
    with pytest.raises(RuntimeError, match="batch 2 failed"):
        task.run([image(index) for index in range(12)], threading.Event())
    assert len(lines) == 4
    started = {number for what, number in detector.calls if what == "start"}
    assert started == {number for what, number in detector.calls if what == "complete"}, "none is left in flight"
