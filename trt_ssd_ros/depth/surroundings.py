"""Surroundings: samples in a box that continue a surface which is seen beside the box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trt_ssd_ros.depth.box_samples import GRID, MARGIN, Mask
from trt_ssd_ros.depth.depth_samples import Metres

OUTER = 2
"""Lines of cells along the edge of the grid that show the surroundings."""
_CELLS = np.arange(GRID * GRID).reshape(GRID, GRID)
SIDE_CELLS = np.stack(
    [side.ravel() for side in (_CELLS[:, :OUTER], _CELLS[:OUTER], _CELLS[:, -OUTER:], _CELLS[-OUTER:])]
)
"""(4, OUTER * G) numbers of the cells left of, above, right of and below a box."""
TOUCHED = 0.15 * OUTER * GRID
"""Cells of a side with the object's depth, from which on the object itself may reach there."""
SLANT = 0.15
"""Largest difference of the log depths on two sides of one plane."""
LEVEL = 0.01
"""Largest mean change of the depth in the margin of a side that is used; a floor below the box has more."""
TOLERANCE, TOLERANCE_PER_METRE = np.float32(0.01), np.float32(0.004)
"""Largest distance of a sample from a surface, in parts of the depth: 2.5 deviations of the sensor's noise."""
_LOW, _HIGH = 1 - SLANT, 1 + SLANT
_UP_TO = np.tri(GRID, dtype=np.bool_)
"""Cells of a line up to a cell, by its number."""
_PART = np.linspace(0, 1, GRID, dtype=np.float32)


class Surroundings:
    """Surfaces that are seen beside N boxes.

    The inverse depth of a plane is linear in its pixels.

    Args:
        lines: (4, N, G, G) inverse depths in 1/m along the lines into the boxes from left, top, right and bottom.
    """

    def __init__(self, lines: Metres) -> None:
        self._lines = lines
        self._holes = np.isnan(lines)
        self._tolerances = lines * TOLERANCE
        self._tolerances += TOLERANCE_PER_METRE
        self._borders = np.where(self._holes[..., 0], lines[..., 1], lines[..., 0])[..., None]

    def slanted_planes(self) -> Mask:
        """Return the samples (N, G, G) on the plane between both sides of their row, or of their column."""
        near, far = self._borders[:2], self._borders[2:]
        change = far - near
        np.putmask(change, np.abs(change) >= np.float32(SLANT) * near, np.nan)
        distance = change * _PART
        distance += near
        distance -= self._lines[:2]
        return _rows_or_columns(np.abs(distance, out=distance) < self._tolerances[:2])

    def continued(self, touched: Sequence[Sequence[float]]) -> Mask:
        """Return the samples (N, G, G) with the depth of a side of their row or column, without a gap up to there.

        Args:
            touched: Numbers of cells with the object's depth on the four sides of N boxes; a side with many is not
                used.
        """
        distance = self._borders - self._lines
        surface = np.abs(distance, out=distance) < self._tolerances
        surface |= self._holes
        joined, cells = np.empty_like(surface), surface.reshape(-1)
        np.logical_or(cells[1:], cells[:-1], out=joined.reshape(-1)[:-1])  # one sample may be an outlier
        joined[..., -1] = False
        surface &= _UP_TO.take(joined.argmin(axis=-1), axis=0)
        ratios = (self._lines[..., 0] / self._lines[..., MARGIN - 1]).tolist()
        for box, counts in enumerate(touched):
            for side, count in enumerate(counts):
                if count >= TOUCHED or not _is_level(ratios[side][box]):
                    surface[side, box] = False
        return _rows_or_columns(surface[:2] | surface[2:, :, :, ::-1])


def _is_level(ratios: list[float]) -> bool:
    """Return whether a surface keeps its depth on its way into the box, on average, from ratios of depths."""
    known = [ratio for ratio in ratios if _LOW < ratio < _HIGH]
    return abs(sum(known) - len(known)) <= LEVEL * len(known)


def _rows_or_columns(lines: Mask) -> Mask:
    """Return the samples (N, G, G) that are in a mask of rows or in a mask of columns (2, N, G, G)."""
    found: Mask = lines[1].transpose(0, 2, 1).copy()
    found |= lines[0]
    return found
