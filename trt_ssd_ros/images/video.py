"""VideoFile: a video file, read by OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.images.source import Capture, Image, ImageSource, SourceError, begin_at


class VideoFile(ImageSource):
    """A video file, read by OpenCV.

    Args:
        path: Of the file.
        start: Which image comes first, counted from 0.

    Raises:
        SourceError: OpenCV cannot open it.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        if os.fsencode(path).decode(errors="replace") != str(path):  # such a name ends the process in OpenCV
            raise SourceError(f"cannot open {path!r}: its name is no UTF-8, rename it")
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._start = start
        if not self._capture.isOpened():
            raise SourceError(f"cannot open {path} as an image or a video")

    @property
    def rate(self) -> float | None:
        """Frames a second as the file states them."""
        return stated_rate(self._capture)

    @property
    def position(self) -> float | None:
        """Seconds of the image that came last; phones and screen recorders do not keep a steady rate."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 or None

    def captures(self) -> Iterator[Capture]:
        """Read to the end of the file."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        count = 0
        while self._capture.grab():
            count += 1
            if count > self._start:
                yield self._retrieve
        if count == 0:
            raise SourceError("the video holds no image")
        begin_at(self._start, count)

    def _retrieve(self) -> Image | None:
        decoded, image = self._capture.retrieve()
        return np.asarray(image, np.uint8) if decoded else None

    def close(self) -> None:
        """Give the file back."""
        self._capture.release()


def stated_rate(capture: cv2.VideoCapture) -> float | None:
    """Return the frames a second that a video or a device states, if they make sense."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < 1000 else None
