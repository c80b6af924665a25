"""BoxSamples: depths on a grid of cells over each box, and over a margin that shows what surrounds the object.

All boxes have the same number of cells. So they are computed together, and a large box costs no more than a small
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.depth_samples import DepthImage, Metres

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

INNER = 24
"""Cells of a box in each direction."""
MARGIN = 3
"""Cells on each side of a box: an eighth of it, so that a tight box with an error of 6 % stays inside."""
GRID = INNER + 2 * MARGIN
INSIDE = slice(MARGIN, GRID - MARGIN)
CENTRES = (np.arange(GRID) + 0.5 - MARGIN) / INNER
"""(G,) centres of the cells: the box reaches from 0 to 1."""


@dataclass(frozen=True, eq=False)
class BoxSamples:
    """Depths in and around N boxes.

    Attributes:
        boxes: (N, 4) float64, x1 y1 x2 y2 in pixels, inside of the image.
        rows: (N, G) int64, row of each cell's sample in pixels.
        columns: (N, G) int64, column of each cell's sample in pixels.
        depths: (N, G, G) float32 in metres, by row and column; NaN where nothing was measured or the image ends.
    """

    boxes: Array
    rows: Indices
    columns: Indices
    depths: Metres

    @classmethod
    def take(cls, depth: DepthImage, boxes: Array) -> BoxSamples:
        """Return the samples of boxes (N, 4), which must be inside of the image and have an area."""
        height, width = depth.size
        x, y = (low[:, None] + (high - low)[:, None] * CENTRES for low, high in (boxes.T[::2], boxes.T[1::2]))
        columns, no_column = _pixels(x, width)
        rows, no_row = _pixels(y, height)
        depths = depth.metres(rows[:, :, None], columns[:, None, :])
        depths[no_row[:, :, None] | no_column[:, None, :]] = np.nan
        return cls(boxes, rows, columns, depths)

    @property
    def inner(self) -> Metres:
        """(N, INNER, INNER) float32 in metres, depths inside of the boxes."""
        return self.depths[:, INSIDE, INSIDE]

    @cached_property
    def lines(self) -> Metres:
        """(4, N, G, G) float32 in metres, along the lines into the boxes from left, right, top and bottom."""
        columns = self.depths.transpose(0, 2, 1)
        return np.stack([self.depths, self.depths[:, :, ::-1], columns, columns[:, :, ::-1]])

    @cached_property
    def borders(self) -> Metres:
        """(4, N, G, 1) float32 in metres, first depths of `lines`: the second one where the first is missing."""
        first = self.lines[..., :1]
        return np.where(np.isnan(first), self.lines[..., 1:2], first)


def _pixels(positions: Array, size: int) -> tuple[Indices, Mask]:
    """Return the pixels (N, G) at positions, and which of them are beyond the image."""
    beyond = (positions < 0) | (positions >= size)
    return np.minimum(np.maximum(positions, 0), size - 1).astype(np.int64), beyond
