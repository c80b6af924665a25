"""Two-stage association of ByteTrack: which detection continues which track.

Zhang et al.: ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022. First, detections
with high scores are assigned to the tracks with ids. Then, detections with low scores are assigned to those of
these tracks that are left, because an occluded object has a low score. Last, the high scores that are left are
assigned to the tracks without ids. Each assignment maximises the sum of the similarities, within each class.

Boxes grow by the uncertainty of the prediction before they are compared, in place of the fixed buffer of C-BIoU
(Yang et al., WACV 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes, Detections
from trt_ssd_ros.errors import load_library
from trt_ssd_ros.tracking.settings import TrackerSettings

Indices = NDArray[np.intp]
Overlaps = NDArray[np.float32]

TINY = np.float32(1e-9)
"""Least area in square pixels of a union, for boxes without area."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Tracks at the time of an image.

    Attributes:
        boxes: (T, 4) float32, predicted boxes, x1 y1 x2 y2 in pixels.
        spreads: (T, 2) float32, standard deviations of the boxes' centres in x and y in pixels.
        class_ids: (T,) int32, class of each track.
        confirmed: (T,) bool, true for tracks with an id.
    """

    boxes: Boxes
    spreads: Boxes
    class_ids: NDArray[np.int32]
    confirmed: NDArray[np.bool_]


def associate(
    tracks: Candidates,
    detections: Detections,
    high: NDArray[np.bool_],
    low: NDArray[np.bool_],
    settings: TrackerSettings,
) -> Indices:
    """Return the track (N,) of each detection; -1 for a detection that continues no track.

    Args:
        tracks: Tracks at the time of the image.
        detections: Detections in the image.
        high: (N,) bool, true for detections that reach the threshold of their class.
        low: (N,) bool, true for detections that may only continue a track with an id.
        settings: Least overlaps.
    """
    overlap = grown_ious(tracks.boxes, tracks.spreads, detections.boxes)
    overlap *= tracks.class_ids[:, None] == detections.class_ids
    weighted = overlap * (overlap >= settings.match_iou) * detections.scores
    owners = np.full(len(detections), -1, np.intp)
    _assign(owners, weighted, tracks.confirmed, high)
    if low.any():
        left = tracks.confirmed.copy()
        left[owners[owners >= 0]] = False
        _assign(owners, overlap * (overlap >= settings.low_match_iou), left, low)
    if not tracks.confirmed.all():
        _assign(owners, weighted, ~tracks.confirmed, high & (owners < 0))
    return owners


def grown_ious(tracks: Boxes, spreads: Boxes, boxes: Boxes) -> Overlaps:
    """Return intersections over union (T, N) of boxes that grow by the spread of the track, on each side.

    After a gap, the object may be farther away; while it is seen, the spread is a small part of its size.

    Args:
        tracks: Predicted boxes (T, 4), x1 y1 x2 y2 in pixels.
        spreads: Growth (T, 2) of a track's box, and of the detections compared with it, in x and y in pixels.
        boxes: Detected boxes (N, 4).
    """
    growth = 2 * np.ascontiguousarray(spreads.T)[..., None]
    # Contiguous and in place, else NumPy loops over the two axes innermost and waits for memory: ten times slower.
    low, high = np.ascontiguousarray(tracks.T).reshape(2, 2, -1, 1)
    others_low, others_high = np.ascontiguousarray(boxes.T).reshape(2, 2, 1, -1)
    sides = np.minimum(high, others_high)
    sides -= np.maximum(low, others_low)
    sides += growth
    np.maximum(sides, 0, out=sides)
    common: Overlaps = sides[0] * sides[1]
    own = high - low + growth
    np.add(others_high - others_low, growth, out=sides)
    union = sides[0] * sides[1]
    union += own[0] * own[1]
    union -= common
    common /= np.maximum(union, TINY, out=union)
    return common


def _assign(
    owners: Indices, similarity: Overlaps, tracks: NDArray[np.bool_], detections: NDArray[np.bool_]
) -> None:
    """Assign chosen detections (N,), which have no owner, to chosen tracks (T,), which own nothing."""
    [rows], [columns] = tracks.nonzero(), detections.nonzero()
    if len(rows) and len(columns):
        first, second = best_pairs(similarity[rows[:, None], columns])
        owners[columns[second]] = rows[first]


def best_pairs(similarity: Overlaps) -> tuple[Indices, Indices]:
    """Return rows and columns of the pairs with the greatest sum of similarities, each at most once.

    Args:
        similarity: (T, N) of 0 or more; 0 for two that do not belong together.

    Raises:
        RuntimeError: SciPy is not installed.
    """
    rows, columns = load_solver()(similarity, maximize=True)
    taken = similarity[rows, columns] > 0
    return rows[taken], columns[taken]


@cache
def load_solver() -> Callable[..., tuple[Indices, Indices]]:
    """Return SciPy's solver of the assignment; the first call takes the time of its import.

    Raises:
        RuntimeError: SciPy is not installed.
    """
    solve: Callable[..., tuple[Indices, Indices]] = load_library(
        "scipy.optimize", "scipy", "tracking"
    ).linear_sum_assignment
    return solve
