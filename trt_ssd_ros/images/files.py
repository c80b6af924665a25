"""ImageFiles: image files of any size and kind, in the order of their names."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.source import Capture, Image, ImageSource, SourceError, begin_at

LOGGER = logging.getLogger(__name__)
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_JPEG, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


class ImageFiles(ImageSource):
    """Image files in the order of their names.

    Args:
        paths: Of the files.
        start: Which of them comes first, counted from 0.

    Attributes:
        unreadable: Files that could not be read, so far; they are passed over with one warning each.

    Raises:
        SourceError: There are not so many files.
    """

    def __init__(self, paths: Sequence[Path], start: int = 0) -> None:
        begin_at(start, len(paths))
        self.unreadable: set[Path] = set()
        self._paths = paths[start:]

    @property
    def passed_over(self) -> int:
        """Files that could not be read, so far."""
        return len(self.unreadable)

    def captures(self) -> Iterator[Capture]:
        """Go through the files."""
        for path in self._paths:
            yield partial(self._read, path)
        if len(self.unreadable) == len(self._paths):
            raise SourceError(f"found {len(self._paths)} files none of which is an image, e.g. {self._paths[0]}")

    def _read(self, path: Path) -> Image | None:
        try:
            return read_image_file(path)
        except SourceError as error:
            if path not in self.unreadable:
                LOGGER.warning("passed over: %s", error)
            self.unreadable.add(path)
            return None


def open_folder(folder: Path, start: int = 0) -> ImageFiles:
    """Open the images of a folder.

    Raises:
        SourceError: It has none, or not so many.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise SourceError(f"source: found no image in {folder}, expected files ending in {sorted(IMAGE_SUFFIXES)}")
    return ImageFiles(paths, start)


def read_image_file(path: Path) -> Image:
    """Read an image file as BGR (H, W, 3) uint8, turned as its EXIF orientation says.

    Grey, CMYK and 16-bit images are converted by OpenCV.

    Raises:
        SourceError: It cannot be read as an image, or is cut short.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe waits for whoever writes
            raise SourceError(f"cannot read {path} as an image: it is no file")
        data = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if _is_whole(data) else None
    except (OSError, cv2.error) as error:
        raise SourceError(f"cannot read {path} as an image: {one_line(error)}") from error
    if image is None:
        why = "it is empty" if not data else f"its {len(data)} bytes are no image, or cut short"
        raise SourceError(f"cannot read {path} as an image: {why}")
    return np.asarray(image, np.uint8)


def _is_whole(data: bytes) -> bool:
    """Tell whether a file may be a whole image: OpenCV 4.6, that of Ubuntu, makes half an image of a cut JPEG.

    Within a scan every byte FF is followed by 00 or a restart marker (ITU T.81, B.1.1.5), so that what looks like
    the end of the image after the header is it. What follows it, as the video of a phone's motion photo, may be
    anything.
    """
    return bool(data) and (not data.startswith(_JPEG) or data.find(_END, _first_scan(data)) >= 0)


def _first_scan(data: bytes) -> int:
    """Return where a JPEG's header ends; a thumbnail in it is an image of its own (B.1.1.4: segments, B.1.1.2)."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at : at + 2] != _SCAN:
        filled = data[at + 1 : at + 2] == b"\xff"
        at += 1 if filled else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
