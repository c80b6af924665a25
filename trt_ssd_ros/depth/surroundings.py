"""Surroundings: samples in a box that continue a surface which is seen beside the box."""

from __future__ import annotations

import numpy as np

from trt_ssd_ros.depth.box_samples import GRID, MARGIN, Array, Mask
from trt_ssd_ros.depth.depth_samples import Metres

OUTER = 2
"""Lines of cells along the edge of the grid that show the surroundings."""
_CELLS = np.arange(GRID * GRID).reshape(GRID, GRID)
SIDE_CELLS = np.stack(
    [side.ravel() for side in (_CELLS[:, :OUTER], _CELLS[:OUTER], _CELLS[:, -OUTER:], _CELLS[-OUTER:])]
)
"""(4, OUTER * G) numbers of the cells left of, above, right of and below a box."""
TOUCHED = 0.15
"""Part of the cells of a side with the object's depth, from which on the object itself may reach there."""
SLANT = np.float32(0.15)
"""Largest difference of the log depths on two sides of one plane."""
LEVEL = 0.01
"""Largest mean change of the depth in the margin of a side that is used; a floor below the box has more."""
TOLERANCE, TOLERANCE_PER_METRE = np.float32(0.01), np.float32(0.004)
"""Largest distance of a sample from a surface, in parts of the depth: 2.5 deviations of the sensor's noise."""
_UP_TO = np.tri(GRID + 1, GRID, dtype=np.bool_)
_UP_TO[-1] = False
"""Cells of a line up to a cell, by its number; none for -1."""
_PART = np.linspace(0, 1, GRID, dtype=np.float32)


class Surroundings:
    """Surfaces that are seen beside N boxes.

    The inverse depth of a plane is linear in its pixels.

    Args:
        lines: (4, N, G, G) inverse depths in 1/m along the lines into the boxes from left, top, right and bottom.
    """

    def __init__(self, lines: Metres) -> None:
        self._lines = lines
        self._tolerances = TOLERANCE * lines + TOLERANCE_PER_METRE
        first = lines[..., 0]
        self._borders = np.where(np.isnan(first), lines[..., 1], first)[..., None]

    def slanted_planes(self) -> Mask:
        """Return the samples (N, G, G) on the plane between both sides of their row, or of their column."""
        near, far = self._borders[:2], self._borders[2:]
        change = far - near
        np.putmask(change, np.abs(change) >= SLANT * near, np.nan)
        rows, columns = np.abs(near + change * _PART - self._lines[:2]) < self._tolerances[:2]
        found: Mask = rows | columns.transpose(0, 2, 1)
        return found

    def continued(self, touched: Array) -> Mask:
        """Return the samples (N, G, G) with the depth of a side of their row or column, without a gap up to there.

        Args:
            touched: (4, N) number of `SIDE_CELLS` with the object's depth; a side with many is not used.
        """
        lines = self._lines
        used = (touched < TOUCHED * SIDE_CELLS.shape[1]) & self._level()
        surface = (np.abs(self._borders - lines) < self._tolerances) | np.isnan(lines)
        joined = np.zeros(lines.shape, np.bool_)
        np.logical_or(surface[..., 1:], surface[..., :-1], out=joined[..., :-1])  # one sample may be an outlier
        gap = np.where(used[..., None], joined.argmin(axis=-1), -1)
        left, top, right, bottom = surface & _UP_TO.take(gap, axis=0)
        found: Mask = left | right[:, :, ::-1] | (top | bottom[:, :, ::-1]).transpose(0, 2, 1)
        return found

    def _level(self) -> Mask:
        """Return whether the surfaces on the sides (4, N) keep their depth on the way into the box, on average."""
        slope = self._lines[..., 0] / self._lines[..., MARGIN - 1] - 1
        known = np.abs(slope) < SLANT
        total = np.add.reduce(slope, axis=-1, where=known)
        found: Mask = np.abs(total) <= LEVEL * known.sum(axis=-1)
        return found
