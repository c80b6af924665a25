"""Mp4Video: a video that browsers play, written with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.files import temporary_path
from trt_ssd_ros.images.source import Image

CLOCK_RATE = 90_000
"""Ticks per second of the video's time stamps, as in MPEG."""
BT601, LIMITED = 6, 1
"""Colour space and range of OpenCV's BGR2YUV_I420, as ITU-T H.273 and FFmpeg number them; without these tags,
players assume BT.709 for large pictures."""
PRESET = "ultrafast"
"""x264 preset: the encoder shares the processor with the network. On two cores `superfast` made smaller files,
but a third fewer images per second."""


class Mp4Video:
    """H.264 video in MP4, with the index at the front, so that browsers play it at once.

    The first picture sets the size. An odd last row or column is cut off: 4:2:0 needs even sides.

    Args:
        path: Video file, which exists once `finish` has returned.

    Raises:
        RuntimeError: PyAV is not installed, or has no H.264 encoder.
    """

    def __init__(self, path: Path) -> None:
        self._av = load_library("av", "av", "writing MP4")
        if "libx264" not in self._av.codecs_available:
            raise RuntimeError("this PyAV has no H.264 encoder (libx264): pip install --upgrade av")
        self._path, self._unfinished = path, temporary_path(path)
        options = {"movflags": "+faststart"}
        self._container = self._av.open(str(self._unfinished), "w", format="mp4", options=options)
        self._stream: Any = None
        self._last = -1

    def add(self, picture: Image, seconds: float) -> None:
        """Encode one picture.

        Args:
            picture: Picture, (H, W, 3) uint8 bgr.
            seconds: Time of the picture in seconds; the video starts with the first one. A time that is not after
                the one before is moved behind it.

        Raises:
            ValueError: H.264 cannot encode pictures of this size.
        """
        if self._stream is None:
            self._stream, self._begun = self._open_stream(picture), seconds
        width, height = self._stream.width, self._stream.height
        if picture.shape[:2] != (height, width):
            picture = _fitted(picture, width, height)
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
        frame = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
        ticks = max(self._last + 1, round((seconds - self._begun) * CLOCK_RATE))
        frame.pts, frame.time_base = ticks, Fraction(1, CLOCK_RATE)
        try:
            packets = self._stream.encode(frame)
        except self._av.FFmpegError as error:
            raise ValueError(f"H.264 cannot encode a picture of {width}x{height}: {one_line(error)}") from error
        self._last = ticks
        self._container.mux(packets)

    def _open_stream(self, picture: Image) -> Any:
        height, width = (max(2, side // 2 * 2) for side in picture.shape[:2])
        stream = self._container.add_stream("libx264", options={"preset": PRESET, "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK_RATE)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT601
        context.color_range = LIMITED
        return stream

    def finish(self) -> None:
        """Flush the encoder, write the index and move the file into place; do nothing without any picture."""
        if self._last < 0:
            return
        self._container.mux(self._stream.encode())
        self._container.close()
        self._unfinished.replace(self._path)

    def close(self) -> None:
        """Close the video; delete the file unless `finish` has completed it."""
        try:
            self._container.close()
        finally:
            self._unfinished.unlink(missing_ok=True)


def _fitted(picture: Image, width: int, height: int) -> Image:
    if 0 <= picture.shape[0] - height <= 1 and 0 <= picture.shape[1] - width <= 1:
        return np.ascontiguousarray(picture[:height, :width])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
