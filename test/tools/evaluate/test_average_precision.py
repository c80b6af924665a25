"""Average precision against pycocotools' own way, on random sets."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.evaluate.annotations import TrueBox
from trt_ssd_ros.tools.evaluate.average_precision import GroundTruth, average_precision

LABELS = ("Bear", "Cat", "Dog")


def random_set(seed: int, images: int = 12) -> tuple[list[GroundTruth], list[Detections]]:
    """Objects, and detections that lie near them, are of another class, or are of nothing."""
    random = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(images):
        count = random.integers(0, 5)
        corner = random.uniform(0, 60, (count, 2))
        boxes = np.hstack([corner, corner + random.uniform(5, 40, (count, 2))]).astype(np.float32)
        kinds = random.integers(0, 3, count)
        ignored = random.random(count) < 0.15
        annotations = [
            TrueBox(LABELS[k], tuple(b), bool(i)) for k, b, i in zip(kinds, boxes, ignored, strict=True)
        ]
        truths.append(GroundTruth(boxes, tuple(annotations)))
        near = np.sort((boxes + random.normal(0, 3, boxes.shape)).reshape(-1, 2, 2), 1).reshape(-1, 4)
        stray = np.hstack([corner, corner + 10])
        class_ids = np.concatenate([np.where(random.random(count) < 0.8, kinds, 0), kinds])
        scores = np.round(random.random(2 * count), 2)
        found.append(Detections(np.vstack([near, stray]), scores, class_ids))
    return truths, found


def scored_at_once(truths: list[GroundTruth], found: list[Detections]) -> np.ndarray:
    """mAP, mAP50 and mAP75 as pycocotools' own examples compute them: all classes, areas and counts at once."""
    true = [
        {
            "id": 1000 * i + j + 1,
            "image_id": i,
            "category_id": LABELS.index(item.label),
            "iscrowd": int(item.ignored),
            "bbox": xywh(box),
            "area": float(np.prod(box[2:] - box[:2])),
        }
        for i, truth in enumerate(truths)
        for j, (box, item) in enumerate(zip(truth.boxes, truth.annotations, strict=True))
    ]
    said = [
        {"image_id": i, "category_id": int(class_id), "bbox": xywh(box), "score": float(score)}
        for i, item in enumerate(found)
        for box, score, class_id in zip(item.boxes, item.scores, item.class_ids, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i, "name": name} for i, name in enumerate(LABELS)],
            "annotations": true,
        }
        coco.createIndex()
        scoring = COCOeval(coco, coco.loadRes(said), "bbox")
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    return scoring.stats[:6]


def xywh(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(corner) for corner in box)
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.mark.parametrize("seed", range(8))
def test_class_by_class_is_the_same_as_at_once(seed):
    truths, found = random_set(seed)
    precision = average_precision(truths, found, LABELS, {label: n for n, label in enumerate(LABELS)})
    sizes = [-1 if (value := precision.map_of(size)) is None else value for size in ("small", "medium", "large")]
    figures = precision.map, precision.map50, precision.map75, *sizes
    np.testing.assert_allclose(figures, scored_at_once(truths, found), atol=1e-9)
    assert 0 < precision.map75 < precision.map50
    assert precision.map > 0.05


def test_class_ids_are_the_detectors_own():
    truths, found = random_set(1)
    turned = [Detections(item.boxes, item.scores, (item.class_ids + 1) % 3) for item in found]
    numbers = {label: n for n, label in enumerate(LABELS)}
    expected = average_precision(truths, found, LABELS, numbers)
    turned_numbers = {label: (n + 1) % 3 for label, n in numbers.items()}
    assert average_precision(truths, turned, LABELS, turned_numbers).map == expected.map
    assert average_precision(truths, turned, LABELS, numbers).map < expected.map


@pytest.mark.parametrize(("stronger", "found_it"), [(99, True), (100, False)])
def test_the_hundred_strongest_detections_of_a_class_count(stronger, found_it):
    box = np.array([[0, 0, 10, 10]], np.float32)
    wrong = np.tile(np.array([[50, 50, 60, 60]], np.float32), (stronger, 1))
    found = Detections(np.vstack([wrong, box]), np.linspace(1, 0.5, stronger + 1), np.zeros(stronger + 1, int))
    precision = average_precision(
        [GroundTruth(box, (TrueBox("Cat", tuple(box[0])),))], [found], ("Cat",), {"Cat": 0}
    )
    assert (precision.classes["Cat"].recall50, precision.map > 0) == (float(found_it), found_it)


def test_a_class_without_an_object_does_not_count():
    nothing = GroundTruth(np.empty((0, 4), np.float32), ())
    precision = average_precision([nothing], [Detections.empty()], LABELS, dict.fromkeys(LABELS, 0))
    assert precision.classes == {}
    assert (precision.map, precision.map50, precision.map75) == (None, None, None)
    crowd = GroundTruth(np.array([[0, 0, 9, 9]], np.float32), (TrueBox("Cat", (0, 0, 9, 9), ignored=True),))
    assert average_precision([crowd], [Detections.empty()], LABELS, dict.fromkeys(LABELS, 0)).classes == {}


def test_a_region_without_a_label_excuses_every_class():
    boxes = np.array([[0, 0, 10, 10], [50, 50, 90, 90]], np.float32)
    truth = GroundTruth(boxes, (TrueBox("Cat", tuple(boxes[0])), TrueBox("", tuple(boxes[1]), ignored=True)))
    found = Detections(np.array([[55, 55, 80, 80], [0, 0, 10, 10]]), np.array([0.9, 0.8]), np.array([1, 1]))
    numbers = {label: n for n, label in enumerate(LABELS)}
    assert average_precision([truth], [found], ("Cat",), numbers).map == pytest.approx(1)
    bare = GroundTruth(truth.boxes[:1], truth.annotations[:1])
    assert average_precision([bare], [found], ("Cat",), numbers).map == pytest.approx(0.5)
