"""Confusion matrix, and differences in one image."""

from __future__ import annotations

import numpy as np
import pytest
from annotated_images import LABELS, as_detections

from trt_ssd_ros.detection.agreement import match_boxes
from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.evaluate.annotations import TrueBox
from trt_ssd_ros.tools.evaluate.average_precision import GroundTruth
from trt_ssd_ros.tools.evaluate.confusion import BACKGROUND, ConfusionMatrix, change, mistakes

HERE, THERE, NEAR = (10, 10, 50, 50), (60, 60, 90, 90), (12, 10, 52, 50)


def truth(*items: tuple) -> GroundTruth:
    boxes = np.array([box for _, box, *_ in items], np.float32).reshape(-1, 4)
    return GroundTruth(boxes, tuple(TrueBox(label, box, bool(more)) for label, box, *more in items))


def test_each_box_is_matched_once_to_the_one_that_overlaps_it_most():
    first = np.array([HERE, NEAR, THERE], np.float32)
    second = np.array([NEAR, (0, 0, 5, 5), HERE, HERE], np.float32)
    assert sorted(match_boxes(first, second)) == [(0, 2), (1, 0)]
    assert match_boxes(first, np.empty((0, 4), np.float32)) == []
    flat = np.array([[5, 5, 5, 5]], np.float32)
    assert match_boxes(flat, flat) == []


def test_a_dog_that_became_a_bear_is_the_greatest_change():
    both = [("Dog", 0.7, HERE), ("Cat", 0.6, THERE)]
    before = as_detections(both)
    bear = change(0, before, as_detections([("Bear", 0.65, NEAR), ("Cat", 0.62, THERE)]), LABELS, LABELS)
    gone = change(0, before, as_detections([("Cat", 0.6, THERE)]), LABELS, LABELS)
    weaker = change(0, before, as_detections([("Dog", 0.4, HERE), ("Cat", 0.6, THERE)]), LABELS, LABELS)
    new = change(0, before, as_detections([*both, ("Cat", 0.5, (0, 0, 5, 5))]), LABELS, LABELS)
    assert bear.lines == ("Dog 70% became Bear 65%",)
    assert gone.lines == ("Dog 70% is gone",)
    assert weaker.lines == ("Dog 70% is now 40%",)
    assert new.lines == ("Cat 50% is new",)
    assert bear.size > gone.size > new.size > weaker.size > 0


def test_what_stays_is_no_change():
    found = as_detections([("Dog", 0.7, HERE)])
    assert change(0, found, found, LABELS, LABELS).size == 0
    assert change(0, Detections.empty(), Detections.empty(), LABELS, LABELS).lines == ()


def test_labels_are_compared_not_numbers():
    found = as_detections([("Dog", 0.7, HERE)])
    assert change(0, found, found, LABELS, ("Cat", "Dog", "Bear")).lines == ("Dog 70% became Bear 70%",)


def test_confusion_and_mistakes():
    there = truth(("Cat", HERE), ("Dog", THERE), ("Cat", (0, 90, 5, 95)))
    found = as_detections(
        [("Cat", 0.9, NEAR), ("Bear", 0.6, THERE), ("Dog", 0.5, (60, 0, 90, 30)), ("Cat", 0.2, HERE)]
    )
    confusion = ConfusionMatrix(LABELS, LABELS, 0.3)
    confusion.add(there, found)
    confusion.add(there, Detections.empty())
    assert confusion.counts == {
        ("Cat", "Cat"): 1, ("Dog", "Bear"): 1,
        ("Cat", BACKGROUND): 3, ("Dog", BACKGROUND): 1, (BACKGROUND, "Dog"): 1,
    }  # fmt: skip
    assert confusion.labels() == ["Dog", "Bear", "Cat"], "the confused ones first"
    dog, bear, cat, nothing = [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 3], [1, 0, 0, 0]
    assert confusion.table(["Dog", "Bear", "Cat"]).tolist() == [dog, bear, cat, nothing]
    assert confusion.table(["Dog"]).tolist() == [[0, 1, 1], [0, 1, 3], [1, 0, 0]], "cats and bears in one"
    seen = found[found.scores > 0.3]
    assert set(mistakes(0, there, seen, LABELS, LABELS).lines) == {
        "Dog is detected as Bear 60%", "Cat is missed", "Dog 50% is a false positive",
    }  # fmt: skip
    assert mistakes(0, there, seen, LABELS, LABELS).size == pytest.approx(0.6 + 1 + 0.5)


def test_what_lies_in_an_ignored_region_is_no_mistake():
    there = truth(("", (0, 0, 100, 100), "ignored"), ("Cat", HERE))
    found = as_detections([("Dog", 0.9, THERE), ("Cat", 0.8, HERE)])
    assert mistakes(0, there, found, LABELS, LABELS).lines == ()
    partly = as_detections([("Dog", 0.9, (80, 0, 118, 10)), ("Dog", 0.7, (80, 0, 122, 10)), ("Cat", 0.8, HERE)])
    assert mistakes(0, there, partly, LABELS, LABELS).lines == ("Dog 70% is a false positive",)


def test_what_nobody_annotated_is_no_mistake_unless_it_takes_the_place_of_something():
    found = as_detections([("Bear", 0.9, THERE), ("Bear", 0.8, HERE)])
    said = mistakes(0, truth(("Cat", HERE)), found, LABELS, ("Cat",))
    assert said.lines == ("Cat is detected as Bear 80%",)
