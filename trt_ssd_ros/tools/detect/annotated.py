"""Images with their boxes, written as files or as a video that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.errors import load_library
from trt_ssd_ros.files import unfinished_path, whole_file

Image = NDArray[np.uint8]
CLOCK = 90_000
"""Ticks a second of a video's time stamps, as in MPEG."""
BT601, LIMITED = 6, 1
"""What OpenCV's BGR2YUV_I420 computes, in the numbers of ITU-T H.273 and FFmpeg; unless told, players take large
pictures for BT.709."""
PRESET = "ultrafast"
"""Of x264: the encoder shares the processor with the network. On two cores `superfast` made smaller files and a
third less images a second."""


class AnnotatedOutput(Protocol):
    """Takes annotated images in the order of the input.

    Attributes:
        wanted: Whether images need to be drawn at all.
    """

    wanted: bool

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Write one image.

        Args:
            name: Of the image, as in `SourceImage`.
            picture: (H, W, 3) uint8 bgr.
            seconds: Its time in a video.
        """

    def holds(self, name: str) -> bool:
        """Tell whether an earlier run left this image here, so that it need not be drawn again."""

    def finish(self) -> None:
        """All images were added."""

    def close(self) -> None:
        """Give everything back; what is unfinished goes."""


class NotAnnotated:
    """Nothing is drawn."""

    wanted = False

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Nothing to write."""

    def holds(self, name: str) -> bool:
        """Nothing is missing."""
        del name
        return True

    def finish(self) -> None:
        """Nothing to finish."""

    def close(self) -> None:
        """Nothing to give back."""


class AnnotatedFiles:
    """A file for each image.

    Args:
        folder: Where they are written.
        suffix: Of the files; empty: that of the image, or .png where that is neither JPEG nor PNG.
    """

    wanted = True

    def __init__(self, folder: Path, suffix: str = "") -> None:
        self._folder = folder
        self._suffix = suffix

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Write one file; see `AnnotatedOutput.add`."""
        del seconds
        path = self._folder / self.file_name(name)
        with whole_file(path) as unfinished:
            unfinished.write_bytes(_encoded(path, picture))

    def file_name(self, name: str) -> str:
        """Return the file of the folder that an image is written into."""
        written = (self._suffix,) if self._suffix else (".jpg", ".jpeg", ".png")
        return name if Path(name).suffix.lower() in written else f"{name}{self._suffix or '.png'}"

    def holds(self, name: str) -> bool:
        """Tell whether an image is there."""
        return (self._folder / self.file_name(name)).is_file()

    def finish(self) -> None:
        """Each file is finished already."""

    def close(self) -> None:
        """Nothing to give back."""


def _encoded(path: Path, picture: Image) -> bytes:
    """Encode a picture here: `cv2.imwrite` ends the process where a path is no UTF-8."""
    done, data = cv2.imencode(path.suffix, picture)
    if not done:
        raise OSError(
            f"cannot write {path}: no {path.suffix} can be made of {picture.shape[1]}x{picture.shape[0]}"
        )
    return data.tobytes()


class AnnotatedVideo:
    """H.264 in MP4, with its index in front so that browsers begin to play at once.

    The first image sets the size; an odd row or column goes, which 4:2:0 has no room for.

    Args:
        path: Of the file; it is there when `finish` was called.

    Raises:
        RuntimeError: PyAV is not installed, or has no H.264 encoder.
    """

    wanted = True

    def __init__(self, path: Path) -> None:
        self._av = load_library("av", "av", "writing MP4")
        if "libx264" not in self._av.codecs_available:
            raise RuntimeError("this PyAV has no H.264 encoder (libx264): pip install --upgrade av")
        self._path, self._unfinished = path, unfinished_path(path)
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
        self._last = max(self._last + 1, round(((seconds or 0.0) - self._begun) * CLOCK))
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(frame))

    def _open_stream(self, picture: Image) -> Any:
        height, width = (max(2, side // 2 * 2) for side in picture.shape[:2])
        stream = self._container.add_stream("libx264", options={"preset": PRESET, "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT601
        context.color_range = LIMITED
        return stream

    def holds(self, name: str) -> bool:
        """A video is made as a whole."""
        del name
        return False

    def finish(self) -> None:
        """Write what the encoder still holds and the index, and give the file its name, if there was an image."""
        if self._stream is None:
            return
        self._container.mux(self._stream.encode())
        self._container.close()
        self._unfinished.replace(self._path)

    def close(self) -> None:
        """Throw an unfinished file away; after `finish`, nothing."""
        try:
            self._container.close()
        finally:
            self._unfinished.unlink(missing_ok=True)


def _fitted(picture: Image, width: int, height: int) -> Image:
    if 0 <= picture.shape[0] - height <= 1 and 0 <= picture.shape[1] - width <= 1:
        return np.ascontiguousarray(picture[:height, :width])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
