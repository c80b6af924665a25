"""Annotated images, written as files or as a video that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.errors import load_library
from trt_ssd_ros.files import atomic_file, temporary_path

Image = NDArray[np.uint8]
CLOCK_RATE = 90_000
"""Ticks per second of the video's time stamps, as in MPEG."""
BT601, LIMITED = 6, 1
"""Colour space and range of OpenCV's BGR2YUV_I420, as ITU-T H.273 and FFmpeg number them; without these tags,
players assume BT.709 for large pictures."""
PRESET = "ultrafast"
"""x264 preset: the encoder shares the processor with the network. On two cores `superfast` made smaller files,
but a third fewer images per second."""


class AnnotatedOutput(Protocol):
    """Output for annotated images, in the order of the input.

    Attributes:
        wanted: Whether images must be drawn at all.
    """

    wanted: bool

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Write one image.

        Args:
            name: Image name, as in `SourceImage`.
            picture: Annotated image, (H, W, 3) uint8 bgr.
            seconds: Time in a video or recording, in seconds; None for other inputs.
        """

    def contains(self, name: str) -> bool:
        """Return whether an earlier run has written this image, so that it need not be drawn again."""

    def finish(self) -> None:
        """Complete the output after the last image."""

    def close(self) -> None:
        """Release all resources and delete an unfinished file."""


class NotAnnotated:
    """Output that discards all images."""

    wanted = False

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Ignore the image."""

    def contains(self, name: str) -> bool:
        """Return True: no image is missing."""
        del name
        return True

    def finish(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class AnnotatedFiles:
    """One file per image.

    Args:
        folder: Folder of the files.
        suffix: File suffix with its dot; empty: the suffix of the image if it is JPEG or PNG, else .png.
    """

    wanted = True

    def __init__(self, folder: Path, suffix: str = "") -> None:
        self._folder = folder
        self._suffix = suffix

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Write one file; see `AnnotatedOutput.add`."""
        del seconds
        path = self._folder / self.file_name(name)
        with atomic_file(path) as unfinished:
            unfinished.write_bytes(_encoded(path, picture))

    def file_name(self, name: str) -> str:
        """Return the file name of an image, relative to the folder."""
        suffixes = (self._suffix,) if self._suffix else (".jpg", ".jpeg", ".png")
        return name if Path(name).suffix.lower() in suffixes else f"{name}{self._suffix or '.png'}"

    def contains(self, name: str) -> bool:
        """Return whether the file of an image exists."""
        return (self._folder / self.file_name(name)).is_file()

    def finish(self) -> None:
        """Do nothing: each file is complete."""

    def close(self) -> None:
        """Do nothing."""


def _encoded(path: Path, picture: Image) -> bytes:
    """Encode a picture in memory: `cv2.imwrite` ends the process if the path is no UTF-8."""
    done, data = cv2.imencode(path.suffix, picture)
    if not done:
        raise OSError(
            f"cannot write {path}: OpenCV does not encode {picture.shape[1]}x{picture.shape[0]} as {path.suffix}"
        )
    return data.tobytes()


class AnnotatedVideo:
    """H.264 video in MP4, with the index at the front, so that browsers play it at once.

    The first image sets the size. An odd last row or column is cut off: 4:2:0 needs even sides.

    Args:
        path: Video file, which exists once `finish` has returned.

    Raises:
        RuntimeError: PyAV is not installed, or has no H.264 encoder.
    """

    wanted = True

    def __init__(self, path: Path) -> None:
        self._av = load_library("av", "av", "writing MP4")
        if "libx264" not in self._av.codecs_available:
            raise RuntimeError("this PyAV has no H.264 encoder (libx264): pip install --upgrade av")
        self._path, self._unfinished = path, temporary_path(path)
        options = {"movflags": "+faststart"}
        self._container = self._av.open(str(self._unfinished), "w", format="mp4", options=options)
        self._stream: Any = None
        self._last = -1

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Encode one image; see `AnnotatedOutput.add`."""
        del name
        if self._stream is None:
            self._stream, self._begun = self._open_stream(picture), seconds or 0.0
        width, height = self._stream.width, self._stream.height
        if picture.shape[:2] != (height, width):
            picture = _fitted(picture, width, height)
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
        frame = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._last = max(self._last + 1, round(((seconds or 0.0) - self._begun) * CLOCK_RATE))
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK_RATE)
        self._container.mux(self._stream.encode(frame))

    def _open_stream(self, picture: Image) -> Any:
        height, width = (max(2, side // 2 * 2) for side in picture.shape[:2])
        stream = self._container.add_stream("libx264", options={"preset": PRESET, "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK_RATE)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT601
        context.color_range = LIMITED
        return stream

    def contains(self, name: str) -> bool:
        """Return False: a resumed run encodes the whole video again."""
        del name
        return False

    def finish(self) -> None:
        """Flush the encoder, write the index and move the file into place; do nothing without an image."""
        if self._stream is None:
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
