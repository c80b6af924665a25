"""Outline: the box around an object, where its samples end, or where the detector says so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.box_samples import GRID, INNER, MARGIN, BoxSamples, Indices, Mask
from trt_ssd_ros.depth.depth_samples import Metres
from trt_ssd_ros.depth.object_layer import ObjectLayer, Range

Ends = tuple[int, int]
"""First line of cells, and the one after the last: columns or rows."""

LEAST_COUNT, LEAST_PART = 2, 0.2
"""Least samples of a line of cells that shows the object: a number, and a part of the mean of its lines."""
BEHIND = 0.4
"""Part of the samples beside an end that must be behind the object, so that the end is its edge."""
CONTACT = 0.97
"""Depth of a floor at the object's foot, in parts of the least depth of the object."""
AHEAD = np.float32(0.75)
"""Distance from the second line beside the object to its edge, in distances from the second to the fourth line."""
_BESIDE, _SHOWING = [[-1, 0], [-2, 1], [-4, 3]], [[0, -2], [1, -1]]
"""Lines beside an object and at its ends, counted from its first line and from the one after its last."""
_AROUND = (np.array(_BESIDE + _SHOWING)[..., None] + np.arange(GRID + 1)).reshape(5, -1).clip(0, GRID - 1)
"""(5, 2 * (G + 1)) numbers of these lines, by the first line, then by the one after the last."""
_ONES = np.ones(GRID, np.uint8)


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
    # Columns are the rows of the transposed grids, so that one call judges all four sides.
    masks = np.empty((2, *layer.mask.shape), np.bool_)
    masks[0], masks[1] = layer.mask, layer.mask.transpose(0, 2, 1)
    shown = [_shown(counts) for counts in _count(masks).reshape(-1, GRID).tolist()]
    seen = _edges(samples.lines[:2], masks, shown, layer.ends)
    columns = len(samples.boxes)  # behind the rows
    return [
        (_extent(x1, x2, shown[columns + box], seen[columns + box]), _extent(y1, y2, shown[box], seen[box]))
        for box, (x1, y1, x2, y2) in enumerate(samples.boxes)
    ]


def _count(cells: Mask) -> NDArray[np.uint8]:
    """Return the number (...) of cells that are set in lines (..., G) of cells."""
    counts: NDArray[np.uint8] = cells.view(np.uint8) @ _ONES
    return counts


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
    """Return the lines that show an object, by its samples in each; those of the box if there is none."""
    mean = sum(counts) / max(GRID - counts.count(0), 1)
    least = max(LEAST_COUNT, LEAST_PART * mean)
    first, end = 0, GRID
    while first < end and counts[first] < least:
        first += 1
    while first < end and counts[end - 1] < least:
        end -= 1
    return (first, end) if first < end else (MARGIN, GRID - MARGIN)


@lru_cache(maxsize=64)
def _around(grids: int) -> Indices:
    """Return _AROUND for each of N grids whose lines follow each other: (5, N * 2 * (G + 1))."""
    lines: Indices = _AROUND[:, None] + GRID * np.arange(grids)[:, None]
    return lines.reshape(5, -1)


def _edges(lines: Metres, masks: Mask, shown: Sequence[Ends], depths: Sequence[Range]) -> list[tuple[bool, bool]]:
    """Return whether objects end at their first and their last line, by grid, judged by the lines beside them.

    Args:
        lines: (2, N, G, G) inverse depths in 1/m along the rows and columns.
        masks: (2, N, G, G) samples of the objects along the rows and columns.
        shown: First line and the one after the last, of N grids of rows, then of N grids of columns.
        depths: N pairs of depths in metres, where the objects begin and end.
    """
    each = 2 * (GRID + 1)
    ends = [(grid * each + first, grid * each + GRID + 1 + end) for grid, (first, end) in enumerate(shown)]
    around = _around(len(shown)).take(ends, axis=1).reshape(5, 2, -1, 2)
    showing = masks.reshape(-1, GRID).take(around[3:], axis=0)
    beside = lines.reshape(-1, GRID).take(around[:3], axis=0)
    edge = np.subtract(beside[1], beside[2], out=beside[2])  # 1 / depth there, if the surface beside it is a plane
    edge *= AHEAD
    edge += beside[1]
    far, near = [1 / end for _, end in depths], [1 / (begin * CONTACT) for begin, _ in depths]
    tests = np.empty((5, *edge.shape), np.bool_)
    np.less(beside, np.array([far, far, near], np.float32)[:, None, :, None, None], out=tests[:3])
    np.equal(edge, edge, out=tests[3])  # not NaN
    np.logical_or(showing[0], showing[1], out=tests[4])
    counts = _count(tests & tests[4]).reshape(5, -1).tolist()
    rooms = [room for first, end in shown for room in (first, GRID - end)]  # lines between object and grid's edge
    seen = [
        (room > 0) * behind + (room > 1) * behind_too > 2 * BEHIND * used or (room > 3 and 2 * touching > known)
        for room, behind, behind_too, touching, known, used in zip(rooms, *counts, strict=True)
    ]
    return list(zip(seen[::2], seen[1::2], strict=True))
