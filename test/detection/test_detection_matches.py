from __future__ import annotations

import numpy as np

from trt_ssd_ros.detection.agreement import DetectionMatches
from trt_ssd_ros.detection.detections import Detections


def detections(*found: tuple[tuple[int, int, int, int], float, int]) -> Detections:
    boxes, scores, class_ids = zip(*found, strict=True)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(class_ids, np.int32))


CAT = ((0, 0, 10, 10), 0.9, 7)


def test_a_box_that_moved_a_little_is_found_again_and_its_score_compared():
    found = DetectionMatches()
    found.add(detections(CAT, ((50, 50, 60, 60), 0.5, 3)), detections(((0, 0, 10, 9), 0.8, 7)))
    assert str(found) == "1 of 2 matched, 0 new; scores differ by 0.100 (median)"


def test_another_class_or_another_place_is_something_else():
    found = DetectionMatches()
    found.add(detections(CAT), detections(((0, 0, 10, 10), 0.9, 8), ((40, 40, 50, 50), 0.6, 7)))
    assert str(found) == "0 of 1 matched, 2 new"


def test_images_add_up():
    found = DetectionMatches()
    for score in (0.9, 0.7, 0.4):
        found.add(detections(CAT), detections(((0, 0, 10, 10), score, 7)))
    assert str(found) == "3 of 3 matched, 0 new; scores differ by 0.200 (median)"
