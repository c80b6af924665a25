"""Region: part of every image that the detector sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections

EXPECTED = "four numbers (x, y, width, height), fractions of the image or whole pixels; whole image: 0, 0, 1, 1"
ROUNDING = 1e-9
"""Largest rounding error of sums of fractions."""


@dataclass(frozen=True)
class Window:
    """Part of an image of known size, in whole pixels; right and bottom are exclusive.

    Attributes:
        left: First column.
        top: First row.
        right: Column behind the last one.
        bottom: Row below the last one.
        name: Name in the debug image; empty: none.
    """

    left: int
    top: int
    right: int
    bottom: int
    name: str = field(default="", compare=False)

    def crop(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of images (..., H, W, 3) in the window, as a view."""
        return images[..., self.top : self.bottom, self.left : self.right, :]

    def to_image(self, detections: Detections) -> Detections:
        """Convert detections from pixels of the window to pixels of the whole image."""
        if not (self.left or self.top):
            return detections
        corner = np.array([self.left, self.top, self.left, self.top], np.float32)
        return Detections(detections.boxes + corner, detections.scores, detections.class_ids)


@dataclass(frozen=True)
class Region:
    """Part of every image, of any size.

    If all four numbers are at most 1, they are fractions of the image's width and height, else whole pixels.

    Attributes:
        x: Left edge, as a fraction or in pixels.
        y: Top edge, as a fraction or in pixels.
        width: Width, as a fraction or in pixels.
        height: Height, as a fraction or in pixels.
        parameter: Name of the parameter, for errors.

    Raises:
        ValueError: No image has this region.
    """

    x: float
    y: float
    width: float
    height: float
    parameter: str = field(default="roi", compare=False)

    def __post_init__(self) -> None:
        if not (
            min(self._numbers) >= 0 and self.width > 0 and self.height > 0 and np.isfinite(self._numbers).all()
        ):
            self._refuse("positive sizes, and no number below 0")
        if not self.fractions and any(number != round(number) for number in self._numbers):
            self._refuse("whole pixels, because one of them is above 1")
        if self.fractions and max(self.x + self.width, self.y + self.height) > 1 + ROUNDING:
            self._refuse("x + width and y + height of 1 or less, because these are fractions")

    @classmethod
    def of(cls, numbers: Sequence[float], parameter: str = "roi") -> Region:
        """Create a region from four numbers: x, y, width, height."""
        if len(numbers) != 4:
            raise ValueError(f"{parameter}: found {list(numbers)}, expected {EXPECTED}")
        x, y, width, height = numbers
        return cls(x, y, width, height, parameter)

    def __str__(self) -> str:
        """Return the four numbers."""
        return ",".join(f"{number:g}" for number in self._numbers)

    def _refuse(self, what: str) -> None:
        raise ValueError(f"{self.parameter}: found {list(self._numbers)}, expected {what}: {EXPECTED}")

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.width, self.height

    @property
    def fractions(self) -> bool:
        """Whether the numbers are fractions of the image, not pixels."""
        return max(self._numbers) <= 1

    def is_apart_from(self, other: Region) -> bool:
        """Return whether the two share no part of any image; fractions and pixels may meet in some images."""
        return self.fractions == other.fractions and not (
            _share(self.x, self.width, other.x, other.width) and _share(self.y, self.height, other.y, other.height)
        )

    def window(self, width: int, height: int) -> Window:
        """Return the region in a width x height image, clipped to the image.

        Raises:
            ValueError: The region lies wholly outside the image.
        """
        if self.fractions:
            left, right = _pixels(self.x, self.width, width)
            top, bottom = _pixels(self.y, self.height, height)
            return Window(left, top, right, bottom)
        if self.x >= width or self.y >= height:
            corner = f"{self.x:.0f}, {self.y:.0f}"
            raise ValueError(
                f"{self.parameter}: found its corner at {corner}, expected it inside the image of {width}x{height}"
            )
        end_x, end_y = min(self.x + self.width, width), min(self.y + self.height, height)
        return Window(int(self.x), int(self.y), int(end_x), int(end_y))


def _share(start: float, extent: float, other: float, other_extent: float) -> bool:
    """Return whether two ranges of an axis overlap by more than a rounding error."""
    return min(start + extent, other + other_extent) - max(start, other) > ROUNDING


def _pixels(start: float, extent: float, size: int) -> tuple[int, int]:
    """Convert a range of fractions to whole pixels of an axis, at least one pixel."""
    first = min(round(start * size), size - 1)
    return first, min(max(round((start + extent) * size), first + 1), size)


WHOLE_IMAGE = Region(0, 0, 1, 1)
