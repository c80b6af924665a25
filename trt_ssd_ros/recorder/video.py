"""Video: the debug images of a recording, as a small MP4."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.mp4 import Mp4Video
from trt_ssd_ros.images.rate_limit import RateLimit

VIDEO_RATE = 15.0
"""Most frames per second: decoding and encoding take 10 ms of processor time per frame."""
VIDEO_WIDTH = 640


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
            seconds: Time of the picture in seconds.

        Raises:
            FrameError: The picture cannot be decoded.
        """
        if self._writer is None or not self._rate_limit.admits(VIDEO_RATE, seconds):
            return
        picture = decode_image(jpeg, "jpeg")
        height = round(VIDEO_WIDTH * picture.shape[0] / picture.shape[1])
        small = np.asarray(cv2.resize(picture, (VIDEO_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.add(small, seconds)
        self._first, self._last = self._first if self.frames else seconds, seconds
        self.frames += 1

    @property
    def described(self) -> str:
        """Name, format and frame rate, or the reason why there is no video."""
        if not self.frames:
            return f"none: {self.problem or 'no picture arrived'}"
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
