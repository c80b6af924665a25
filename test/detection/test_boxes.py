from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.detection.detections import areas, clip_boxes, nms, overlaps, scale_boxes

NO_BOXES = np.empty((0, 4), np.float32)


def boxes_of(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (NO_BOXES, NO_BOXES),
        (boxes_of((0, 0, 1, 1)), boxes_of((0, 0, 640, 480))),
        (boxes_of((0.25, 0.5, 0.5, 1), (-1, -1, 2, 2)), boxes_of((160, 240, 320, 480), (-640, -480, 1280, 960))),
    ],
)
def test_scale_boxes_turns_fractions_into_pixels(boxes, expected):
    scaled = scale_boxes(boxes, 640, 480)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (NO_BOXES, NO_BOXES),
        (boxes_of((1, 2, 3, 4)), boxes_of((1, 2, 3, 4))),
        (boxes_of((-5, -5, 700, 500)), boxes_of((0, 0, 640, 480))),
        (boxes_of((650, 10, 660, 20)), boxes_of((640, 10, 640, 20))),
        (boxes_of((10, -20, 20, -10)), boxes_of((10, 0, 20, 0))),
    ],
)
def test_clip_boxes_moves_corners_onto_the_border(boxes, expected):
    clipped = clip_boxes(boxes, 640, 480)
    assert clipped.dtype == np.float32
    np.testing.assert_array_equal(clipped, expected)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [(NO_BOXES, []), (boxes_of((0, 0, 2, 3), (5, 5, 5, 9), (-1, -1, 1, 1)), [6, 0, 4])],
)
def test_areas(boxes, expected):
    assert areas(boxes).tolist() == expected


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        ((0, 0, 2, 2), 1),
        ((0, 0, 2, 1), 1 / 2),
        ((1, 0, 3, 2), 1 / 3),
        ((1, 1, 3, 3), 1 / 7),
        ((2, 0, 4, 2), 0),  # they touch
        ((3, 3, 4, 4), 0),
        ((-2, -2, -1, -1), 0),  # both sides negative: their product must not count
        ((1, 1, 1, 1), 0),  # no area
    ],
)
def test_overlap_exceeds_every_threshold_below_the_iou_and_none_above(other, iou):
    box, others = np.array((0, 0, 2, 2), np.float32), boxes_of(other)
    for threshold in (0, 0.1, 0.2, 0.4, 0.6, 0.9):
        assert overlaps(box, others, threshold).tolist() == [iou > threshold]


def test_an_overlap_equal_to_the_threshold_does_not_exceed_it():
    assert overlaps(np.array((0, 0, 2, 2), np.float32), boxes_of((0, 0, 2, 1)), 0.5).tolist() == [False]
    assert overlaps(np.array((0, 0, 2, 2), np.float32), boxes_of((0, 0, 2, 2)), 1).tolist() == [False]


def test_boxes_without_area_never_overlap_not_even_themselves():
    point = np.array((1, 1, 1, 1), np.float32)
    assert overlaps(point, boxes_of((1, 1, 1, 1), (0, 0, 2, 2)), 0).tolist() == [False, False]


def test_a_box_overlaps_none_of_no_boxes():
    assert overlaps(np.zeros(4, np.float32), NO_BOXES, 0.5).shape == (0,)


NEAR, ALSO_NEAR, FAR = (0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)


@pytest.mark.parametrize(
    ("rows", "scores", "class_ids", "kept"),
    [
        ([], [], [], []),
        ([NEAR], [0.5], [0], [True]),
        ([NEAR, FAR], [0.5, 0.4], [0, 0], [True, True]),
        ([NEAR, ALSO_NEAR], [0.5, 0.4], [0, 0], [True, False]),
        ([NEAR, ALSO_NEAR], [0.4, 0.5], [0, 0], [False, True]),
        ([NEAR, ALSO_NEAR], [0.5, 0.4], [0, 1], [True, True]),
        ([NEAR, NEAR, NEAR], [0.5, 0.5, 0.5], [0, 0, 0], [True, False, False]),
        ([NEAR], [0.0], [0], [False]),
        ([NEAR, ALSO_NEAR], [0.0, 0.4], [0, 0], [False, True]),
        ([(5, 5, 5, 5)] * 2, [0.5, 0.4], [0, 0], [True, True]),
    ],
)
def test_nms_keeps_the_best_of_each_heap_in_each_class(rows, scores, class_ids, kept):
    keep = nms(boxes_of(*rows), np.array(scores, np.float32), np.array(class_ids, np.int32), 0.5)
    assert keep.dtype == np.bool_
    assert keep.tolist() == kept


def test_a_suppressed_box_suppresses_none():
    """Boxes in a row, each overlapping only the next: every second one stays."""
    left = 2 * np.arange(50)
    chain = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1).astype(np.float32)
    keep = nms(chain, np.linspace(0.9, 0.5, 50, dtype=np.float32), np.zeros(50, np.int32), 0.5)
    assert keep.tolist() == [True, False] * 25


def textbook_nms(boxes: np.ndarray, scores: np.ndarray, class_ids: np.ndarray, threshold: float) -> list[bool]:
    """Greedy NMS as every textbook has it, pair by pair and with a division, in float64."""
    keep = [False] * len(scores)
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        rivals = [other for other in range(len(scores)) if keep[other] and class_ids[other] == class_ids[index]]
        free = all(textbook_iou(boxes[index], boxes[other]) <= threshold for other in rivals)
        keep[index] = bool(scores[index] > 0 and free)
    return keep


def textbook_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(width * height / (both - width * height))


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes on a coarse grid with few scores and classes: duplicates, ties, empty boxes and slots abound."""
    side = st.integers(0, 6)
    row = st.tuples(side, side, side, side, st.integers(0, 5), st.integers(0, 2))
    rows = np.array(draw(st.lists(row, max_size=25)), np.float64).reshape(-1, 6)
    corners, sizes = rows[:, :2], rows[:, 2:4]
    return np.hstack([corners, corners + sizes]), rows[:, 4] / 8, rows[:, 5]


@settings(max_examples=200)
@given(crowds(), st.sampled_from([0.0, 0.26, 0.41, 0.59, 0.77, 1.0]))
def test_nms_is_the_textbook_s(crowd, threshold):
    """The thresholds are no ratio of the areas that the grid can make, but for 0 and 1, which both sides hit."""
    boxes, scores, class_ids = crowd
    keep = nms(boxes.astype(np.float32), scores.astype(np.float32), class_ids.astype(np.int32), threshold)
    assert keep.tolist() == textbook_nms(boxes, scores, class_ids, threshold)
