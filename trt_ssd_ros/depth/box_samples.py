"""BoxSamples: depths on a grid of cells over each box, and over a margin that shows what surrounds the object.

All boxes have the same number of cells. So they are computed together, and a large box costs no more than a small
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.depth_samples import DepthImage, Metres

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""x1 y1 x2 y2."""

INNER = 24
"""Cells of a box in each direction."""
MARGIN = 3
"""Cells on each side of a box: an eighth of it, so that a tight box with an error of 6 % stays inside."""
GRID = INNER + 2 * MARGIN
INSIDE = slice(MARGIN, GRID - MARGIN)
CENTRES = (np.arange(GRID) + 0.5 - MARGIN) / INNER
"""(G,) centres of the cells: the box reaches from 0 to 1."""
_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True, eq=False)
class BoxSamples:
    """Depths in and around N boxes.

    Attributes:
        boxes: N boxes, x1 y1 x2 y2 in pixels, inside of the image.
        depths: (N, G, G) float32 in metres, by row and column; NaN where nothing was measured or the image ends.
    """

    boxes: Sequence[Box]
    depths: Metres

    @classmethod
    def take(cls, depth: DepthImage, boxes: Sequence[Box]) -> BoxSamples:
        """Return the samples of boxes, which must be inside of the image and have an area."""
        samples = [
            cv2.warpAffine(depth.samples, _pixels_of_cells(*box), (GRID, GRID), flags=_NEAREST) for box in boxes
        ]
        # Beyond the image are zeros, which are no depths.
        return cls(boxes, depth.metres_of(np.array(samples, np.float32)))

    @cached_property
    def lines(self) -> Metres:
        """(4, N, G, G) float32 in 1/m, inverse depths along the lines from left, top, right and bottom."""
        lines = np.empty((4, *self.depths.shape), np.float32)
        np.reciprocal(self.depths, out=lines[0])
        lines[1] = lines[0].transpose(0, 2, 1)
        lines[2:] = lines[:2, :, :, ::-1]
        return lines


def _pixels_of_cells(x1: float, y1: float, x2: float, y2: float) -> Array:
    """Return the matrix (2, 3) from columns and rows of cells to pixels, counted from the first one's centre."""
    width, height = (x2 - x1) / INNER, (y2 - y1) / INNER
    centre = 0.5 - MARGIN
    return np.array([[width, 0.0, x1 + centre * width - 0.5], [0.0, height, y1 + centre * height - 0.5]])
