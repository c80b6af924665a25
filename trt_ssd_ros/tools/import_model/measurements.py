"""What numbers that a network gave tell of its conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS_BEYOND = 3
"""Corners beyond this many image sides are in pixels."""
LEAST_ALONG = 0.2
"""Least correlation of boxes' centres with those of their cells."""


def along_cells(corners: NDArray[Any], centres: NDArray[np.float64]) -> str | None:
    """Tell which number is x by the cells that boxes come from; None if boxes are not where their cells are.

    Args:
        corners: (A, 4), of any unit.
        centres: x and y (A, 2) of the cells' centres.
    """
    middles = np.nan_to_num(corners[:, :2].astype(np.float64) + corners[:, 2:])
    middles = np.clip(middles, *np.quantile(middles, [0.02, 0.98]))
    varied = np.ptp(middles, axis=0).all() and np.ptp(centres, axis=0).all()
    if not varied:
        return None
    table = np.corrcoef(middles.T, centres.T)[:2, 2:]
    straight, crossed = (table[0, 0] + table[1, 1]) / 2, (table[0, 1] + table[1, 0]) / 2
    if max(straight, crossed) < max(LEAST_ALONG, 2 * min(straight, crossed)):
        return None
    return "xyxy" if straight > crossed else "yxyx"


def are_pixels(corners: NDArray[Any]) -> bool:
    """Tell whether corners are in pixels, not normalised."""
    return len(corners) > 0 and bool(np.quantile(np.abs(corners), 0.9) > PIXELS_BEYOND)


def are_corners(numbers: NDArray[Any]) -> bool:
    """Tell whether rows are corners, the second behind the first, and not encodings, of which a few would be."""
    rows = numbers.reshape(-1, 4)
    return bool(np.mean((rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1])) > 0.99)


def takes_unit(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> bool:
    """Tell whether pixel * scale + offset normalises pixels of 0 to 1, not of 0 to 255."""
    highest, shift = np.abs(scale).max(), np.abs(offset).max()
    return bool(highest > 1.5 or (highest > 0.5 and 0 < shift <= 1))


def short(numbers: NDArray[np.float64]) -> list[float]:
    """Return numbers that were measured in float32, without the digits that say nothing."""
    return [float(f"{number:.6g}") for number in numbers]
