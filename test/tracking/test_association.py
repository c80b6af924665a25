"""Which detection continues which track: the best assignment, by class, in two stages."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from trt_ssd_ros.detection.detections import Detections, ious
from trt_ssd_ros.tracking.association import Candidates, associate, best_pairs, grown_ious
from trt_ssd_ros.tracking.settings import TrackerSettings

SETTINGS = TrackerSettings((0.5, 0.5))
NO_BOXES = np.empty((0, 4), np.float32)
SIMILARITIES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=4),
    elements=st.sampled_from([0, 0.25, 0.5, 1]),
)


def boxes_at(*lefts: float) -> np.ndarray:
    return np.array([(x, 0, x + 10, 20) for x in lefts], np.float32).reshape(-1, 4)


def tracks_at(*rows: tuple[float, int, bool]) -> Candidates:
    """Tracks with a left edge, a class and with or without id."""
    lefts, classes, confirmed = ([row[column] for row in rows] for column in range(3))
    spreads = np.zeros((len(rows), 2), np.float32)
    return Candidates(boxes_at(*lefts), spreads, np.array(classes, np.int32), np.array(confirmed, np.bool_))


def owners(tracks: Candidates, *rows: tuple[float, float, int]) -> list[int]:
    """Return the tracks of detections with a left edge, a score and a class."""
    scores, classes = np.array([row[1] for row in rows], np.float32), np.array([row[2] for row in rows], np.int32)
    found = Detections(boxes_at(*(row[0] for row in rows)), scores, classes)
    high = found.scores >= 0.5
    return associate(tracks, found, high, ~high, SETTINGS).tolist()


@pytest.mark.parametrize(
    ("tracks", "detections", "expected"),
    [
        ([], [], []),
        ([], [(0, 0.9, 0)], [-1]),
        ([(0, 0, True)], [], []),
        ([(0, 0, True)], [(1, 0.9, 0)], [0]),
        ([(0, 0, True)], [(1, 0.9, 1)], [-1]),
        ([(0, 0, True)], [(9, 0.9, 0)], [-1]),
        ([(0, 0, True), (8, 0, True)], [(7, 0.9, 0), (1, 0.9, 0)], [1, 0]),
        ([(0, 0, True)], [(3, 0.9, 0), (0, 0.3, 0)], [0, -1]),  # high scores first, though the other is nearer
        ([(0, 0, True)], [(1, 0.3, 0)], [0]),
        ([(0, 0, True)], [(6, 0.3, 0)], [-1]),  # overlap 0.25: enough for a high score only
        ([(0, 0, True)], [(6, 0.9, 0)], [0]),
        ([(0, 0, False)], [(0, 0.3, 0)], [-1]),  # no id: only high scores
        ([(0, 0, False)], [(0, 0.9, 0)], [0]),
        ([(0, 0, False), (3, 0, True)], [(1, 0.9, 0)], [1]),  # tracks with ids first
    ],
)
def test_detections_continue_tracks(tracks, detections, expected):
    assert owners(tracks_at(*tracks), *detections) == expected


@given(similarity=SIMILARITIES)
def test_the_pairs_have_the_greatest_sum_that_any_assignment_has(similarity):
    rows, columns = best_pairs(similarity)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert (similarity[rows, columns] > 0).all()
    padded = np.zeros((4, 4))
    padded[: similarity.shape[0], : similarity.shape[1]] = similarity
    best = max(padded[range(4), order].sum() for order in permutations(range(4)))
    assert similarity[rows, columns].sum() == best


@pytest.mark.parametrize(
    ("first", "second"), [(NO_BOXES, NO_BOXES), (NO_BOXES, boxes_at(1)), (boxes_at(1), NO_BOXES)]
)
def test_no_boxes_have_no_overlap(first, second):
    spreads = np.zeros((len(first), 2), np.float32)
    assert grown_ious(first, spreads, second).shape == (len(first), len(second)) == ious(first, second).shape


def test_without_spread_the_overlap_is_the_intersection_over_union():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 100, (2, 9, 2))
    first, second = np.concatenate([corners, corners + random.uniform(1, 80, (2, 9, 2))], -1).astype(np.float32)
    np.testing.assert_allclose(
        grown_ious(first, np.zeros((9, 2), np.float32), second), ious(first, second), atol=1e-6
    )


def test_spread_lets_a_track_reach_farther():
    near = grown_ious(boxes_at(0), np.array([[2, 0]], np.float32), boxes_at(12))
    np.testing.assert_allclose(near, [[2 / 26]], rtol=1e-6)  # 14 wide each, 2 in common


def test_points_have_no_overlap():
    point = np.zeros((1, 4), np.float32)
    assert grown_ious(point, np.zeros((1, 2), np.float32), point).tolist() == [[0.0]]
