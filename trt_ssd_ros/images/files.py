"""ImageFiles: image files of any size and format, and the images of a folder."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import cv2
import numpy as np

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.jpeg import decode_reduced
from trt_ssd_ros.images.source import Capture, Image, ImageSource, SourceError, SourceImage

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MOST_DECODERS = 4
"""Most threads that decode files, and most files that are decoded ahead."""
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


class ImageFiles(ImageSource):
    """Image files, named relative to their common folder.

    Args:
        paths: Paths of the files.
    """

    is_video = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        absolute = [
            Path(os.path.normpath(path.absolute())) for path in paths
        ]  # annotated images are written under these names, without ".."
        base = os.path.commonpath([path.parent for path in absolute])
        self.names = [path.relative_to(base).as_posix() for path in absolute]
        self.count = len(paths)
        self._least: tuple[int, int] | None = None

    def allow_reduced(self, width: int, height: int) -> None:
        """Decode JPEG files at 1/2, 1/4 or 1/8 of their size; see `ImageSource.allow_reduced`."""
        self._least = width, height

    def captures(self) -> Iterator[Capture]:
        """Iterate over the files; see `ImageSource.captures`."""
        for index, (path, name) in enumerate(zip(self._paths, self.names, strict=True)):
            yield partial(_read, index, name, path, self._least)

    def images(self, start: int = 0) -> Iterator[SourceImage]:
        """Iterate over the files from index `start`, which several threads decode; see `ImageSource.images`."""
        threads = min(MOST_DECODERS, len(os.sched_getaffinity(0)))
        work: SimpleQueue[tuple[Capture, Future[SourceImage]] | None] = SimpleQueue()
        decoding: deque[Future[SourceImage]] = deque()
        for _ in range(threads):
            Thread(target=_decode, args=(work,), name="decode", daemon=True).start()
        try:
            for capture in islice(self.captures(), start, None):
                decoding.append(Future())
                work.put((capture, decoding[-1]))
                if len(decoding) > threads:
                    yield decoding.popleft().result()
            while decoding:
                yield decoding.popleft().result()
        finally:
            for future in decoding:
                future.cancel()
            for _ in range(threads):
                work.put(None)


def _decode(work: SimpleQueue[tuple[Capture, Future[SourceImage]] | None]) -> None:
    """Decode files until None comes, in a thread that no end of the process waits for: a read can hang."""
    while task := work.get():
        capture, future = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(capture())
            except BaseException as error:
                future.set_exception(error)


def _read(index: int, name: str, path: Path, least: tuple[int, int] | None) -> SourceImage:
    try:
        pixels, size = _decoded_file(path, least)
    except SourceError as error:
        return SourceImage.unreadable(index, name, error)
    return SourceImage(index, name, pixels, whole_size=size)


def images_of_folder(folder: Path, exclude: Iterable[Path] = ()) -> list[Path]:
    """Return the sorted paths of all images in a folder and its subfolders.

    Args:
        folder: Folder to search.
        exclude: Folders whose images are skipped, because they were made from the others.

    Raises:
        SourceError: The folder holds no image.
    """
    images = (file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir())
    ours = [os.path.realpath(skipped) for skipped in exclude]
    paths = sorted(file for file in images if not any(map(Path(os.path.realpath(file)).is_relative_to, ours)))
    if not paths:
        raise SourceError(f"source: found no image in {folder}, expected files ending in {sorted(IMAGE_SUFFIXES)}")
    return paths


def stem(name: str) -> str:
    """Return an image's name without its file suffix; the dot in a frame's time is no suffix."""
    suffix = Path(name).suffix
    return name[: len(name) - len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else name


def read_image_file(path: Path) -> Image:
    """Read an image file as BGR (H, W, 3) uint8, rotated by its EXIF orientation.

    Grey, CMYK and 16-bit images are converted by OpenCV.

    Raises:
        SourceError: The file cannot be read as an image, or is truncated.
    """
    return _decoded_file(path, None)[0]


def _decoded_file(path: Path, least: tuple[int, int] | None) -> tuple[Image, tuple[int, int]]:
    """Return an image of a file, and the whole image's height and width.

    Args:
        path: Path of the file.
        least: Least width and height in pixels of a reduced image; None: the whole image.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for a writer
            raise SourceError(f"cannot read {path} as an image: it is not a file")
        data = path.read_bytes()
        if _may_be_complete(data):
            if least and (reduced := decode_reduced(data, least)):
                return reduced
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if image is not None:
                return np.asarray(image, np.uint8), (image.shape[0], image.shape[1])
    except (OSError, cv2.error) as error:
        raise SourceError(f"cannot read {path} as an image: {one_line(error)}") from error
    why = "it is empty" if not data else f"its {len(data)} bytes are not an image, or are truncated"
    raise SourceError(f"cannot read {path} as an image: {why}")


def _may_be_complete(data: bytes) -> bool:
    """Return whether a file may be complete: Ubuntu's OpenCV 4.6 decodes half an image from a truncated JPEG.

    Within a scan every byte FF is followed by 00 or a restart marker (ITU T.81, B.1.1.5), so the first end marker
    after the header ends the image. Any data may follow, such as the video of a phone's motion photo.
    """
    if data.startswith(_PNG):
        return _PNG_END in data  # else libpng writes to stderr
    # rfind, because the marker is near the end of most files.
    return bool(data) and (not data.startswith(_JPEG) or data.rfind(_END, _first_scan(data)) >= 0)


def _first_scan(data: bytes) -> int:
    """Return the offset of a JPEG's first scan, after any thumbnail in the header (B.1.1.4: segments, B.1.1.2)."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at : at + 2] != _SCAN:
        filled = data[at + 1 : at + 2] == b"\xff"
        at += 1 if filled else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
