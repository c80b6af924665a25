"""Video: the debug images of a recording, as a small MP4."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import FrameError
from trt_ssd_ros.images.mp4 import Mp4Video
from trt_ssd_ros.images.rate_limit import RateLimit

VIDEO_RATE = 15.0
"""Most frames per second: decoding and encoding take 10 ms of processor time per frame."""
VIDEO_WIDTH = 640
MAX_VIDEO_HEIGHT = 4 * VIDEO_WIDTH
"""Most rows; higher pictures are squeezed, because x264 encodes no 640x800000."""


class Video:
    """H.264 video of the pictures, written while they arrive, in the time of their stamps.

    Without PyAV there is no video: OpenCV's VP8, which browsers play as well, takes nine times the processor time
    of x264 (43 to 4.7 ms per frame), and the detector would lose it.

    Args:
        path: Path of the video file.

    Attributes:
        path: Path of the video file, which exists once `finish` has returned.
        frames: Number of written frames.
        problem: Reason why no video can be written; empty if one can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self.problem = ""
        self._rate_limit = RateLimit()
        self._newest = self._shift = 0.0
        self._first = self._last = 0.0
        self._writer: Mp4Video | None = None
        try:
            self._writer = Mp4Video(path)
        except RuntimeError as error:
            self.problem = str(error)

    def add(self, jpeg: bytes, seconds: float) -> None:
        """Add a picture, if the next frame of the video is due.

        Args:
            jpeg: Picture as JPEG.
            seconds: Stamp of the picture in seconds; 0: none, so the picture is left out. If the stamps jump back,
                as when a bag starts again, the video goes on one frame later.

        Raises:
            FrameError: The picture cannot be decoded or encoded.
        """
        if not seconds:
            return
        if seconds < self._newest:
            self._shift += self._newest - seconds + 1 / VIDEO_RATE
        self._newest, seconds = seconds, seconds + self._shift
        if self._writer is None or not self._rate_limit.admits(VIDEO_RATE, seconds):
            return
        try:
            self._writer.add(_small(decode_image(jpeg, "jpeg")), seconds)
        except (cv2.error, ValueError) as error:
            raise FrameError(one_line(error)) from error
        self._first, self._last = self._first if self.frames else seconds, seconds
        self.frames += 1

    @property
    def described(self) -> str:
        """Name, format and frame rate, or the reason why there is no video."""
        if not self.frames:
            return f"none: {self.problem or 'no picture with a stamp arrived'}"
        seconds = self._last - self._first
        rate = f", {(self.frames - 1) / seconds:.1f} frames per second" if seconds > 0 else ""
        return f"{self.path.name}: MP4 (H.264), {self.frames} frames{rate}; browsers play it"

    def finish(self) -> None:
        """Complete the file, if it has frames."""
        if self._writer is not None:
            self._writer.finish()

    def close(self) -> None:
        """Close the file; delete it unless it is complete."""
        if self._writer is not None:
            self._writer.close()


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = min(max(2, round(VIDEO_WIDTH * picture.shape[0] / picture.shape[1])), MAX_VIDEO_HEIGHT)
    return np.asarray(cv2.resize(picture, (VIDEO_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
