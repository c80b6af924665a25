"""What numbers that a network gave tell of its conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS_BEYOND = 3
"""Corners beyond this many image sides are in pixels."""


def corner_order(corners: NDArray[Any]) -> str:
    """Tell which number is x: boxes go along the rows of the feature maps, so x changes the fastest.

    Raises:
        ValueError: They are no corners.
    """
    if np.mean((corners[:, 2] >= corners[:, 0]) & (corners[:, 3] >= corners[:, 1])) < 0.9:
        raise ValueError("the boxes are neither encoded nor corners: the second corner is not behind the first")
    first = corners[: len(corners) // 2]
    changes = np.abs(np.diff(first[:, :2] + first[:, 2:], axis=0)).sum(axis=0)
    return "xyxy" if changes[0] >= changes[1] else "yxyx"


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
