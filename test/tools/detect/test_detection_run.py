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
    """Finds nothing, and remembers in which groups it was asked."""

    card = SimpleNamespace(labels=("Cat",), first_class_id=0)

    def __init__(self):
        self.groups = []

    def detect_batch(self, images, channel_order, sizes):
        assert sizes == [image.shape[:2] for image in images]
        self.groups.append(([image.shape[:2] for image in images], channel_order))
        return [Detections.empty()] * len(images)


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
