"""PhotoTour: the demo's moving picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.images.source import Capture, Image, ImageSource

TOUR_HEIGHT = 800
TOUR_FRAMES = 240


class PhotoTour(ImageSource):
    """A window that wanders over photos laid side by side, so that the things in them move.

    Args:
        photos: Paths of the photos.
        width: Of the window, in pixels.
        height: Of the window, in pixels; at most TOUR_HEIGHT.
    """

    def __init__(self, photos: Sequence[Path], width: int = 1280, height: int = 720) -> None:
        self._size = width, height
        self._panorama = np.hstack([_scaled_to_height(read_image_file(photo), TOUR_HEIGHT) for photo in photos])

    def captures(self) -> Iterator[Capture]:
        """Go once to the last photo and back."""
        width, height = self._size
        free_y, free_x = np.subtract(self._panorama.shape[:2], (height, width))
        for phase in np.linspace(0, 2 * np.pi, TOUR_FRAMES, endpoint=False):
            x = int(free_x * (1 - np.cos(phase)) / 2)
            y = int(free_y * (1 - np.cos(3 * phase)) / 2)
            window = self._panorama[y : y + height, x : x + width]
            yield partial(np.asarray, window)


def _scaled_to_height(image: Image, height: int) -> Image:
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
