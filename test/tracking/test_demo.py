"""Ids over the demo: a window that pans over still photos, so where each object stands is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes, Detections, ious
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.images.open_source import open_sources
from trt_ssd_ros.tracking.settings import NANOSECONDS, TrackerSettings
from trt_ssd_ros.tracking.tracker import Tracker

Image = NDArray[np.uint8]


def movement(before: Image, now: Image) -> NDArray[np.float32]:
    """Return by how many pixels the window moved over the photos between two images."""
    errors = cv2.matchTemplate(now, before[200:500, 400:800], cv2.TM_SQDIFF)
    return np.array([400, 200], np.float32) - np.array(cv2.minMaxLoc(errors)[2], np.float32)


def tour(every: int) -> Iterator[tuple[float, Image]]:
    """Yield seconds and pixels of every n-th image of the demo."""
    with closing(open_sources(["demo"])) as images:
        for image in itertools.islice(images.images(), None, None, every):
            assert image.seconds is not None
            yield image.seconds, image.pixels


@pytest.fixture(scope="module")
def tracked(shipped_engine, card) -> list[tuple[float, Detections, Boxes]]:
    """Seconds, detections with ids, and their boxes on the panorama, of a third of the demo's images."""
    thresholds = Thresholds.uniform(card)
    settings = TrackerSettings(thresholds.classes)
    tracker, detector = Tracker(settings, "s"), Detector(shipped_engine, card)
    detector.thresholds = Thresholds(settings.wanted_scores, thresholds.iou, thresholds.max_detections)
    found, corner, before = [], np.zeros(2, np.float32), None
    for seconds, pixels in tour(3):
        corner = corner if before is None else corner + movement(before, pixels)
        before = pixels
        detections = tracker.update(round(seconds * NANOSECONDS), detector.detect(pixels))
        found.append((seconds, detections, detections.boxes + np.tile(corner, 2)))
    return found


def test_an_object_keeps_its_id_while_the_window_passes(tracked):
    """Two ids of one class at one place within the longest gap are a switch, unless one image shows both."""
    together = {pair for _, found, _ in tracked for pair in itertools.permutations(found.ids.tolist(), 2)}
    last: dict[str, tuple[float, int, Boxes]] = {}
    for seconds, found, places in tracked:
        for name, class_id, place in zip(found.ids.tolist(), found.class_ids, places, strict=True):
            others = [
                other
                for other, (seen, its_class, its_place) in last.items()
                if other != name and (name, other) not in together
                if its_class == class_id and seconds - seen <= 1 and ious(place[None], its_place[None]) > 0.5
            ]
            assert not (name and others), (seconds, name, others)
            if name:
                last[name] = (seconds, int(class_id), place)
    assert len(last) >= 5


def test_an_id_stays_at_its_place(tracked):
    places: dict[str, list[Boxes]] = {}
    for _, found, boxes in tracked:
        for name, box in zip(found.ids, boxes, strict=True):
            if name:
                places.setdefault(str(name), []).append(box)
    for boxes in places.values():
        for before, now in itertools.pairwise(boxes):
            assert ious(before[None], now[None])[0, 0] > 0.3
