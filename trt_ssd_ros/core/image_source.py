"""Where images come from without a camera driver: photos, folders, videos, webcams, and the demo's tour."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

LOGGER = logging.getLogger(__name__)
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
TOUR_HEIGHT = 800
TOUR_FRAMES = 240

Image = NDArray[np.uint8]


class SourceError(ValueError):
    """A source cannot be opened or gives no image: says what was found and what was expected."""


class ImageSource(Protocol):
    """A sequence of BGR images (H, W, 3) uint8 that may be run through more than once."""

    @property
    def rate(self) -> float | None:
        """Frames a second that the source itself names, if it does."""

    def images(self) -> Iterator[Image]:
        """Go through the images from the start; a live camera just goes on.

        Raises:
            SourceError: There is not a single image.
        """

    def close(self) -> None:
        """Give the device or file back."""


class PhotoTour:
    """A window that wanders over photos laid side by side, so that the things in them move.

    Args:
        photos: Paths of the photos.
        width: Of the window, in pixels.
        height: Of the window, in pixels; at most TOUR_HEIGHT.
    """

    rate = None

    def __init__(self, photos: Sequence[Path], width: int = 1280, height: int = 720) -> None:
        self._size = width, height
        self._panorama = np.hstack([_scaled_to_height(read_image_file(photo), TOUR_HEIGHT) for photo in photos])

    def images(self) -> Iterator[Image]:
        """Go once to the last photo and back."""
        width, height = self._size
        free_y, free_x = np.subtract(self._panorama.shape[:2], (height, width))
        for phase in np.linspace(0, 2 * np.pi, TOUR_FRAMES, endpoint=False):
            x = int(free_x * (1 - np.cos(phase)) / 2)
            y = int(free_y * (1 - np.cos(3 * phase)) / 2)
            yield self._panorama[y : y + height, x : x + width]

    def close(self) -> None:
        """Nothing to give back."""


class ImageFiles:
    """Image files in the order of their names.

    Attributes:
        unreadable: Files that OpenCV could not read, so far; they are passed over with one warning each.
    """

    rate = None

    def __init__(self, paths: Sequence[Path]) -> None:
        self.unreadable: set[Path] = set()
        self._paths = paths

    def images(self) -> Iterator[Image]:
        """Read the files one by one."""
        for path in self._paths:
            try:
                yield read_image_file(path)
            except SourceError as error:
                if path not in self.unreadable:
                    LOGGER.warning("passed over: %s", error)
                self.unreadable.add(path)
        if len(self.unreadable) == len(self._paths):
            raise SourceError(f"found {len(self._paths)} files none of which is an image, e.g. {self._paths[0]}")

    def close(self) -> None:
        """Nothing to give back."""


class VideoStream:
    """A video file or a webcam, read by OpenCV.

    Args:
        target: The path of a video file, or the number of a webcam.

    Raises:
        SourceError: OpenCV cannot open it.
    """

    def __init__(self, target: str | int) -> None:
        self._live = isinstance(target, int)
        device = Path(f"/dev/video{target}")
        if self._live and not device.exists():
            there = ", ".join(sorted(map(str, device.parent.glob("video*")))) or "no webcam at all"
            raise SourceError(f"webcam:{target} needs {device}, which does not exist; found {there}")
        self._capture = cv2.VideoCapture(target, cv2.CAP_V4L2 if self._live else cv2.CAP_ANY)
        if not self._capture.isOpened():
            what = f"{device}: may this user read it?" if self._live else f"{target} as an image or a video"
            raise SourceError(f"cannot open {what}")
        if self._live:
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    @property
    def rate(self) -> float | None:
        """Frames a second as the file or driver states them."""
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return rate if 0 < rate < 1000 else None

    def images(self) -> Iterator[Image]:
        """Read to the end of the file, or for as long as the webcam delivers."""
        if not self._live:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        count = 0
        while True:
            arrived, image = self._capture.read()
            if not arrived:
                break
            count += 1
            yield np.asarray(image, np.uint8)
        if count == 0 or self._live:
            raise SourceError("the webcam stopped delivering images" if self._live else "the video holds no image")

    def close(self) -> None:
        """Give the device or file back."""
        self._capture.release()


def open_source(name: str) -> ImageSource:
    """Open a source by name.

    Args:
        name: The path of an image, a folder of images or a video, with or without `file:` before it; or
            `webcam:N` for webcam number N.

    Raises:
        SourceError: There is nothing readable under this name.
    """
    kind, _, target = name.partition(":")
    if kind == "webcam":
        if not target.isdecimal():
            raise SourceError(f"source: found {name!r}, expected webcam:N with the webcam's number, e.g. webcam:0")
        return VideoStream(int(target))
    path = Path(target if kind == "file" else name).expanduser()
    if not path.exists():
        raise SourceError(f"source: {path} does not exist, expected an image, a folder of images or a video")
    if path.is_dir():
        return _open_folder(path)
    return ImageFiles([path]) if path.suffix.lower() in IMAGE_SUFFIXES else VideoStream(str(path))


def _open_folder(folder: Path) -> ImageFiles:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise SourceError(f"source: found no image in {folder}, expected files ending in {sorted(IMAGE_SUFFIXES)}")
    return ImageFiles(paths)


def read_image_file(path: Path) -> Image:
    """Read an image file as BGR (H, W, 3) uint8.

    Raises:
        SourceError: It cannot be read as an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"cannot read {path} as an image")
    return np.asarray(image, np.uint8)


def _scaled_to_height(image: Image, height: int) -> Image:
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
