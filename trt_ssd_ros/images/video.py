"""VideoFile: video file, read by OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage

FALLBACK_RATE = 30.0
"""Frames per second of a video that states no rate."""


class VideoFile(ImageSource):
    """Video file.

    Args:
        path: Path of the file.

    Raises:
        SourceError: OpenCV cannot open the file.
    """

    def __init__(self, path: Path) -> None:
        if os.fsencode(path).decode(errors="replace") != str(path):  # OpenCV ends the process on such a name
            raise SourceError(f"cannot open {path!r}: its name is not UTF-8, rename it")
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(f"cannot open {path} as an image or a video")
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 else None

    @property
    def rate(self) -> float | None:
        """Frames per second that the file states; None if unknown."""
        return stated_rate(self._capture)

    def captures(self) -> Iterator[Capture]:
        """Read the whole file from its start, because not every format seeks exactly."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        index = -1
        while self._capture.grab():
            index += 1
            yield partial(self._retrieve, index)
        if index < 0:
            raise SourceError("the video has no frames")

    def _retrieve(self, index: int) -> SourceImage:
        decoded, image = self._capture.retrieve()
        if not decoded:
            return SourceImage.unreadable(index, f"{index:06d}", "the frame cannot be decoded")
        # Phones and screen recorders have no constant rate, so the frame's own time is used.
        seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 or index / (self.rate or FALLBACK_RATE)
        return SourceImage(index, f"{index:06d}", np.asarray(image, np.uint8), seconds=seconds)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


def stated_rate(capture: cv2.VideoCapture) -> float | None:
    """Return the frames per second that a video or device states; None if they are not between 0 and 1000."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < 1000 else None
