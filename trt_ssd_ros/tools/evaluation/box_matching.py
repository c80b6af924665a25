"""Which boxes of two lists are of the same thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.core.boxes import Boxes, areas

SAME = 0.5
"""Intersection over union from which two boxes are of the same thing."""


def intersections(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """Return the areas (N, M) that each of N boxes has in common with each of M."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sizes: NDArray[np.float32] = np.maximum(high - low, 0)
    return sizes[..., 0] * sizes[..., 1]


def match_boxes(first: Boxes, second: Boxes) -> list[tuple[int, int]]:
    """Pair boxes of the same thing, those that overlap most first, each in one pair at most.

    Args:
        first: (N, 4) x1 y1 x2 y2.
        second: (M, 4) x1 y1 x2 y2.

    Returns:
        Pairs of indices into the two.
    """
    common = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None] - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    pairs, left, right = [], set[int](), set[int]()
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        i, j = (int(index) for index in np.unravel_index(flat, iou.shape))
        if iou[i, j] < SAME:
            break
        if i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs
