"""Video: a small video file, written while frames come."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

VIDEO_RATE = 10
VIDEO_WIDTH = 640


class Video:
    """A small video of VIDEO_RATE frames a second, written while frames come.

    Args:
        path: Of the file.

    Attributes:
        frames: Frames written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._writer: cv2.VideoWriter | None = None
        self._first = 0.0

    def add(self, picture: NDArray[np.uint8], seconds: float) -> None:
        """Add a BGR picture (H, W, 3) that was taken at this time, unless its time is not due."""
        if self._writer is None:
            height = round(VIDEO_WIDTH * picture.shape[0] / picture.shape[1] / 2) * 2
            self._size, self._first = (VIDEO_WIDTH, height), seconds
            codec = cv2.VideoWriter.fourcc(*"VP80")
            self._writer = cv2.VideoWriter(str(self.path), codec, VIDEO_RATE, self._size)
            if not self._writer.isOpened():
                raise RuntimeError(f"cannot write {self.path}: does this OpenCV have a VP8 encoder?")
        if (seconds - self._first) * VIDEO_RATE >= self.frames:
            self._writer.write(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA))
            self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
