"""Surroundings: samples in a box that continue a surface which is seen beside the box."""

from __future__ import annotations

import numpy as np

from trt_ssd_ros.depth.box_samples import GRID, MARGIN, BoxSamples, Mask
from trt_ssd_ros.depth.depth_samples import Metres

OUTER = 2
"""Lines of cells along the edge of the grid that show the surroundings."""
_CELLS = np.arange(GRID * GRID).reshape(GRID, GRID)
SIDE_CELLS = np.stack(
    [side.ravel() for side in (_CELLS[:, :OUTER], _CELLS[:, -OUTER:], _CELLS[:OUTER], _CELLS[-OUTER:])]
)
"""(4, OUTER * G) numbers of the cells left, right, above and below of a box."""
TOUCHED = 0.15
"""Part of the cells of a side with the object's depth, from which on the object itself may reach there."""
SLANT = 0.15
"""Largest difference of the log depths on two sides of one plane."""
LEVEL = 0.01
"""Largest mean change of the depth in the margin of a side that is used; a floor below the box has more."""
TOLERANCE, TOLERANCE_PER_METRE = 0.01, 0.004
"""Largest distance of a sample from a surface, in parts of the depth: 2.5 deviations of the sensor's noise."""
_STEPS = np.arange(GRID)
_PART = np.linspace(0, 1, GRID, dtype=np.float32)


def slanted_planes(samples: BoxSamples) -> Mask:
    """Return the samples (N, G, G) on the plane between both sides of their row, or of their column.

    The inverse depth of a plane is linear in its pixels.
    """
    near, far = 1 / samples.borders[::2], 1 / samples.borders[1::2]
    near = np.where(np.abs(near - far) < SLANT * near, near, np.float32(np.nan))
    rows, columns = _on(samples.lines[::2], near + (far - near) * _PART)
    return np.asarray(rows | columns.transpose(0, 2, 1))


def continues_around(samples: BoxSamples, layer: Mask) -> Mask:
    """Return the samples (N, G, G) with the depth of a side of their row or column, without a gap up to there.

    Args:
        samples: Samples of N boxes.
        layer: (N, G, G) samples with the object's depth; a side where there are many is not used.
    """
    lines = samples.lines
    touched = layer.reshape(len(layer), -1)[:, SIDE_CELLS].sum(axis=2).T
    used = (touched < TOUCHED * SIDE_CELLS.shape[1]) & _level(lines)
    surface = _on(lines, 1 / samples.borders) | np.isnan(lines)
    gap = ~(surface[..., 1:] | surface[..., :-1])  # two samples: one may be an outlier
    end = np.where(gap.any(axis=-1), gap.argmax(axis=-1), GRID)
    left, right, top, bottom = surface & (end[..., None] > _STEPS) & used[:, :, None, None]
    return np.asarray(left | right[:, :, ::-1] | (top | bottom[:, :, ::-1]).transpose(0, 2, 1))


def _level(lines: Metres) -> Mask:
    """Return whether the surfaces on the sides (4, N) keep their depth on the way into the box, on average."""
    slope = lines[..., MARGIN - 1] / lines[..., 0] - 1
    known = np.abs(slope) < SLANT
    mean = np.where(known, slope, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    return np.asarray(np.abs(mean) < LEVEL)


def _on(depths: Metres, inverse: Metres) -> Mask:
    """Return which depths are on a surface, given by its 1 / depth in 1/m."""
    distance = np.abs(inverse * depths - 1) - np.float32(TOLERANCE_PER_METRE) * depths
    return np.asarray(distance < np.float32(TOLERANCE))
