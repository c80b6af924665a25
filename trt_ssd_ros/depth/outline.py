"""Outline: the box around an object, where its samples end, or where the detector says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.box_samples import GRID, INNER, MARGIN, Array, BoxSamples, Indices, Mask
from trt_ssd_ros.depth.depth_samples import Metres
from trt_ssd_ros.depth.object_layer import ObjectLayer

LEAST_COUNT, LEAST_PART = 2, 0.2
"""Least samples of a line of cells that shows the object: a number, and a part of the mean of its lines."""
BEHIND = 0.4
"""Part of the samples beside an end that must be behind the object, so that the end is its edge."""
CONTACT = 0.97
"""Depth of a floor at the object's foot, in parts of the least depth of the object."""
AHEAD = 0.75
"""Distance from the second line beside the object to its edge, in distances from the second to the fourth line."""
_LINES = np.concatenate([-1 - np.arange(4), np.arange(4)])
_ROW = np.arange(GRID)[:, None]


@dataclass(frozen=True, eq=False)
class Outlines:
    """Boxes around N objects.

    Attributes:
        boxes: (N, 4) float64, x1 y1 x2 y2 in pixels.
        seen: (N, 4) bool, edges that the depths show; the others are the detector's.
        visible: (N, 4) int64, first column, first row, and the ends of both, of the cells that show the object.
        cells: (N, 4) int64, the outlines in cells.
    """

    boxes: Array
    seen: Mask
    visible: Indices
    cells: Indices


def find_outlines(samples: BoxSamples, layer: ObjectLayer) -> Outlines:
    """Return the outlines of the objects, and of what hides parts of them.

    An object ends where the samples beside it are behind it, or on the floor that touches it. Where something
    nearer or nothing is measured beside it, or the object goes on beyond the margin, the edge is the detector's.
    """
    # Rows are the columns of the transposed grids, so that one call judges all four sides.
    depths, mask = (np.concatenate([a, a.transpose(0, 2, 1)]) for a in (samples.depths, layer.mask))
    first, last = _shown(mask)
    stops = _edges(depths, mask, first, last, np.tile(layer.near, 2), np.tile(layer.far, 2))
    visible, seen = _by_box(first, last), _by_box(*stops)
    # The layer leaves out the outermost cells, which have no neighbours on one side.
    low = np.where(visible[:, :2] <= 1, MARGIN, np.minimum(visible[:, :2], MARGIN))
    high = np.where(visible[:, 2:] >= GRID - 1, GRID - MARGIN, np.maximum(visible[:, 2:], GRID - MARGIN))
    # A few samples may be beyond the detector's edge: the outline ends behind them, not before it begins.
    low, high = np.minimum(low, visible[:, 2:] - 1), np.maximum(high, visible[:, :2] + 1)
    cells = np.where(seen, visible, np.concatenate([low, high], axis=1))
    corner, size = samples.boxes[:, :2], samples.boxes[:, 2:] - samples.boxes[:, :2]
    parts = (cells - MARGIN).reshape(-1, 2, 2) * (1 / INNER)
    boxes = (corner[:, None] + size[:, None] * parts).reshape(-1, 4)
    return Outlines(boxes, seen, visible, cells)


def _by_box(first: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
    """Return values of first and last columns, and then rows (2 N,), as (N, 4): column, row, column, row."""
    ends: NDArray[Any] = np.stack([first, last]).reshape(2, 2, -1)
    return ends.transpose(2, 0, 1).reshape(-1, 4)


def _shown(mask: Mask) -> tuple[Indices, Indices]:
    """Return the first column (M,) of the object and the one after its last; those of the box if there is none."""
    counts = mask.sum(axis=1)
    mean = counts.sum(axis=1) / np.maximum((counts > 0).sum(axis=1), 1)
    shown = counts >= np.maximum(LEAST_COUNT, LEAST_PART * mean)[:, None]
    some = shown.any(axis=1)
    first = np.where(some, shown.argmax(axis=1), MARGIN)
    return first, np.where(some, GRID - shown[:, ::-1].argmax(axis=1), GRID - MARGIN)


def _edges(
    depths: Metres, mask: Mask, first: Indices, last: Indices, near: Array, far: Array
) -> tuple[Mask, Mask]:
    """Return whether the objects end (M,) at their first and last column, judged by the 4 columns beside it."""
    columns = np.repeat(np.stack([first, last], axis=1), 4, axis=1) + _LINES
    beyond = (columns < 0) | (columns >= GRID)
    beside = depths[np.arange(len(depths))[:, None, None], _ROW, np.where(beyond, 0, columns)[:, None]]
    box = np.arange(len(depths))
    pairs = np.minimum(first, GRID - 2), np.maximum(last - 2, 0)  # single measurements may be at the very edge
    shown = np.stack([mask[box, :, i] | mask[box, :, i + 1] for i in pairs], axis=2)
    rows = np.repeat(shown, 4, axis=2)
    beside[beyond[:, None] | ~rows] = np.nan
    beside = beside.reshape(len(depths), GRID, 2, 4)
    behind = (beside[..., :2] > far[:, None, None, None]).sum(axis=(1, 3)) > 2 * BEHIND * shown.sum(axis=1)
    second, fourth = 1 / beside[..., 1], 1 / beside[..., 3]
    at_edge = second + AHEAD * (second - fourth)  # 1 / depth of the surface beside the object, if it is a plane
    touching = (at_edge * (CONTACT * near[:, None, None]) < 1).sum(axis=1)
    stops = behind | (2 * touching > np.isfinite(at_edge).sum(axis=1))
    return stops[:, 0], stops[:, 1]
