"""Outline: the box around an object, where its samples end, or where the detector says so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trt_ssd_ros.depth.box_samples import GRID, INNER, MARGIN, Array, BoxSamples, Indices, Mask
from trt_ssd_ros.depth.depth_samples import Metres
from trt_ssd_ros.depth.object_layer import ObjectLayer

Ends = tuple[int, int]
"""First line of cells, and the one after the last: columns or rows."""

LEAST_COUNT, LEAST_PART = 2, 0.2
"""Least samples of a line of cells that shows the object: a number, and a part of the mean of its lines."""
BEHIND = 0.4
"""Part of the samples beside an end that must be behind the object, so that the end is its edge."""
CONTACT = 0.97
"""Depth of a floor at the object's foot, in parts of the least depth of the object."""
AHEAD = 0.75
"""Distance from the second line beside the object to its edge, in distances from the second to the fourth line."""
_BESIDE = np.array([[-1, 0], [-2, 1], [-4, 3]]).reshape(3, 1, 1, 2, 1)
"""Columns beside the first column of an object, and beside the one after its last, from those."""
_SHOWING = np.array([[0, -2], [1, -1]]).reshape(2, 1, 1, 2, 1)
"""Columns at the ends of an object, from the same two."""
_ROWS = GRID * np.arange(GRID)
"""Numbers of the first cells of the rows: `take` is several times faster than an index of arrays."""


class Extent(NamedTuple):
    """Outline of an object along one axis of the image.

    Attributes:
        low: Left or upper edge in pixels.
        high: Right or lower edge in pixels.
        cells: Cells between both edges.
        visible: Cells that show the object.
        seen: Whether the depths show the edges; others are the detector's.
    """

    low: float
    high: float
    cells: Ends
    visible: Ends
    seen: tuple[bool, bool]

    @property
    def shown(self) -> slice:
        """Visible cells between both edges."""
        return slice(max(self.cells[0], self.visible[0]), min(self.cells[1], self.visible[1]))

    @property
    def hidden(self) -> tuple[int, int]:
        """Number of cells at both ends that do not show the object."""
        return max(self.visible[0] - self.cells[0], 0), max(self.cells[1] - self.visible[1], 0)


def find_outlines(samples: BoxSamples, layer: ObjectLayer) -> list[tuple[Extent, Extent]]:
    """Return the outlines of the objects along x and y, and of what hides parts of them.

    An object ends where the samples beside it are behind it, or on the floor that touches it. Where something
    nearer or nothing is measured beside it, or the object goes on beyond the margin, the edge is the detector's.
    """
    # Rows are the columns of the transposed grids, so that one call judges all four sides.
    masks = np.empty((2, *layer.mask.shape), np.bool_)
    masks[0], masks[1] = layer.mask, layer.mask.transpose(0, 2, 1)
    columns, rows = ([_shown(counts) for counts in grids] for grids in masks.sum(axis=2).tolist())
    columns_seen, rows_seen = _edges(samples.lines, masks, np.array([columns, rows]), layer.ends).tolist()
    return [
        (_extent(x1, x2, column, column_seen), _extent(y1, y2, row, row_seen))
        for (x1, y1, x2, y2), column, row, column_seen, row_seen in zip(
            samples.boxes, columns, rows, columns_seen, rows_seen, strict=True
        )
    ]


def _extent(low: float, high: float, visible: Ends, seen: tuple[bool, bool]) -> Extent:
    """Return the extent of an object in a detector's box from low to high."""
    first, end = visible
    # The layer leaves out the outermost cells, which have no neighbours on one side.
    box_first = MARGIN if first <= 1 else min(first, MARGIN)
    box_end = GRID - MARGIN if end >= GRID - 1 else max(end, GRID - MARGIN)
    # A few samples may be beyond the detector's edge: the outline ends behind them, not before it begins.
    cells = first if seen[0] else min(box_first, end - 1), end if seen[1] else max(box_end, first + 1)
    cell = (high - low) / INNER
    return Extent(low + (cells[0] - MARGIN) * cell, low + (cells[1] - MARGIN) * cell, cells, visible, seen)


def _shown(counts: list[int]) -> Ends:
    """Return the columns that show an object, by its samples in each; those of the box if there is none."""
    mean = sum(counts) / max(GRID - counts.count(0), 1)
    least = max(LEAST_COUNT, LEAST_PART * mean)
    shown = [column for column, count in enumerate(counts) if count >= least]
    return (shown[0], shown[-1] + 1) if shown else (MARGIN, GRID - MARGIN)


def _edges(lines: Metres, masks: Mask, shown: Indices, depths: Array) -> Mask:
    """Return whether the objects end (2, N, 2) at their first and last column, judged by the columns beside it.

    Args:
        lines: (4, N, G, G) inverse depths in 1/m along the rows and columns.
        masks: (2, N, G, G) samples of the objects along the rows and columns.
        shown: (2, N, 2) first column and the one after the last.
        depths: (N, 2) where the objects begin and end, in metres.
    """
    starts = np.arange(0, masks.size, GRID**2).reshape(2, -1, 1, 1) + _ROWS
    columns = shown[..., None] + _BESIDE
    inside = np.minimum(np.maximum(columns, 0), GRID - 1)
    showing = np.minimum(np.maximum(shown[..., None] + _SHOWING, 0), GRID - 1)  # also of the very first column
    one, other = masks.take(starts + showing)
    used = one | other
    beside = lines.take(starts + inside)
    np.putmask(beside, (inside != columns) | ~used, np.nan)
    next_to, second, fourth = beside
    edge = (1 + AHEAD) * second - AHEAD * fourth  # 1 / depth at the edge, if the surface beside it is a plane
    near, far = 1 / depths.T[..., None, None]
    tests = np.array([next_to < far, second < far, used, edge < near / CONTACT, np.isfinite(edge)])
    behind, behind_too, rows, touching, known = tests.sum(axis=-1)
    return np.asarray((behind + behind_too > 2 * BEHIND * rows) | (2 * touching > known))
