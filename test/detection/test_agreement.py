from __future__ import annotations

import numpy as np
import pytest

from trt_ssd_ros.detection.agreement import HALF, INT8, SINGLE, TOLERANCES, Tolerance, disagreements
from trt_ssd_ros.detection.detections import Detections

THRESHOLD = 0.5
LARGE = Tolerance(score=0.125, box=2.0)
"""Exact in float32, so that a difference of just this much can be tested."""

Row = tuple[int, float, float, float, float, float]
"""Class, score, x1, y1, x2, y2."""

CAT: Row = (7, 0.875, 10, 20, 110, 60)
DOG: Row = (8, 0.75, 200, 20, 300, 60)
FAINT: Row = (7, THRESHOLD + 0.125, 400, 20, 500, 60)
"""Its like may be just below the threshold."""


def seen(*rows: Row) -> Detections:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 1], table[:, 0])


def changed(row: Row, *differences: float) -> Row:
    """A row with its first values raised by `differences`."""
    values = list(row)
    for index, difference in enumerate(differences):
        values[index] += difference
    return tuple(values)


def compare(found: list[Row], expected: list[Row], longer_side: int = 640) -> list[str]:
    return disagreements(seen(*found), seen(*expected), LARGE, THRESHOLD, longer_side)


ALIKE = {
    "nothing": ([], []),
    "one": ([CAT], [CAT]),
    "several": ([CAT, DOG, FAINT], [CAT, DOG, FAINT]),
    "a tie whose two swapped places": ([DOG, CAT], [CAT, DOG]),
    "the same twice in both": ([CAT, CAT], [CAT, CAT]),
    "a score higher by the tolerance": ([changed(CAT, 0, 0.125)], [CAT]),
    "a score lower by the tolerance": ([changed(CAT, 0, -0.125)], [CAT]),
    "a box off by the tolerance": ([changed(CAT, 0, 0, 2, -2, 2, -2)], [CAT]),
    "a faint one only here": ([CAT, FAINT], [CAT]),
    "a faint one missing": ([CAT], [CAT, FAINT]),
}


@pytest.mark.parametrize(("found", "expected"), ALIKE.values(), ids=ALIKE)
def test_what_is_alike_agrees(found, expected):
    assert compare(found, expected) == []


ONLY_CAT = "unexpected: column 7, score 0.8750, box 10.0, 20.0, 110.0, 60.0"
NO_CAT = "missing: column 7, score 0.8750, box 10.0, 20.0, 110.0, 60.0"
DIFFERENT = {
    "one only here": ([CAT], [], [ONLY_CAT]),
    "one missing": ([], [CAT], [NO_CAT]),
    "one missing among others": ([DOG, FAINT], [CAT, DOG, FAINT], [NO_CAT]),
    "one found twice": ([CAT, CAT], [CAT], [ONLY_CAT]),
    "one of two alike missing": ([CAT], [CAT, CAT], [NO_CAT]),
    "another class": (
        [changed(CAT, 1)],
        [CAT],
        ["unexpected: column 8, score 0.8750, box 10.0, 20.0, 110.0, 60.0", NO_CAT],
    ),
    "a score beyond the tolerance": (
        [changed(CAT, 0, -0.126)],
        [CAT],
        ["unexpected: column 7, score 0.7490, box 10.0, 20.0, 110.0, 60.0", NO_CAT],
    ),
    "one just too strong to be missing": (
        [],
        [changed(FAINT, 0, 0.001)],
        ["missing: column 7, score 0.6260, box 400.0, 20.0, 500.0, 60.0"],
    ),
    "one just too strong to be only here": (
        [changed(FAINT, 0, 0.001)],
        [],
        ["unexpected: column 7, score 0.6260, box 400.0, 20.0, 500.0, 60.0"],
    ),
}


@pytest.mark.parametrize(("found", "expected", "problems"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_not_alike_is_named(found, expected, problems):
    assert compare(found, expected) == problems


@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("longer_side", "slack"), [(1, 2), (1279, 2), (1280, 2), (2560, 4), (3840, 6)])
def test_each_corner_may_be_off_in_proportion_to_images_larger_than_1280(corner, sign, longer_side, slack):
    off = [0.0] * 6
    off[2 + corner] = sign * slack
    assert compare([changed(CAT, *off)], [CAT], longer_side) == []
    off[2 + corner] = sign * (slack + 0.01)
    assert len(compare([changed(CAT, *off)], [CAT], longer_side)) == 2


def test_the_threshold_is_what_makes_one_faint():
    assert compare([CAT], []) == [ONLY_CAT]
    assert disagreements(seen(CAT), seen(), LARGE, 0.8, 640) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_order_means_nothing(seed):
    shuffle = np.random.default_rng(seed).permutation
    rows = [CAT, DOG, FAINT, changed(CAT, 0, -0.01, 30, 30, 30, 30), changed(DOG, -1)]
    assert compare([rows[i] for i in shuffle(5)], [rows[i] for i in shuffle(5)]) == []


def test_the_fewer_bits_the_further_off_it_may_be():
    assert TOLERANCES == {"fp32": SINGLE, "fp16": HALF, "int8": INT8}
    assert Tolerance(score=0.02, box=4.0) == HALF, "as docs/engines.md states it"
    assert INT8.score > HALF.score > SINGLE.score
    assert INT8.box > HALF.box > SINGLE.box
