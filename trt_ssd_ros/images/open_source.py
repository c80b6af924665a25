"""Where images come from without a camera driver: photos, folders, videos, webcams, streams, the demo's tour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.images.files import IMAGE_SUFFIXES, ImageFiles, open_folder, read_image_file
from trt_ssd_ros.images.source import Capture, Image, ImageSource, SourceError
from trt_ssd_ros.images.stream import open_address, open_pipeline, open_webcam
from trt_ssd_ros.images.video import VideoFile

TOUR_HEIGHT = 800
TOUR_FRAMES = 240


class PhotoTour(ImageSource):
    """A window that wanders over photos laid side by side, so that the things in them move.

    Args:
        photos: Paths of the photos.
        width: Of the window, in pixels.
        height: Of the window, in pixels; at most TOUR_HEIGHT.
    """

    def __init__(self, photos: Sequence[Path], width: int = 1280, height: int = 720) -> None:
        self._size = width, height
        self._panorama = np.hstack([_scaled_to_height(read_image_file(photo), TOUR_HEIGHT) for photo in photos])

    def captures(self) -> Iterator[Capture]:
        """Go once to the last photo and back."""
        width, height = self._size
        free_y, free_x = np.subtract(self._panorama.shape[:2], (height, width))
        for phase in np.linspace(0, 2 * np.pi, TOUR_FRAMES, endpoint=False):
            x = int(free_x * (1 - np.cos(phase)) / 2)
            y = int(free_y * (1 - np.cos(3 * phase)) / 2)
            window = self._panorama[y : y + height, x : x + width]
            yield partial(np.asarray, window)


def _scaled_to_height(image: Image, height: int) -> Image:
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


__all__ = [
    "IMAGE_SUFFIXES",
    "Image",
    "ImageFiles",
    "ImageSource",
    "PhotoTour",
    "SourceError",
    "VideoFile",
    "open_source",
    "read_image_file",
]


def open_source(name: str, start: int = 0, width: int = 0, height: int = 0, rate: float = 0.0) -> ImageSource:
    """Open a source by name.

    Args:
        name: The path of an image, a folder of images or a video, with or without `file:` before it; `webcam:N`
            for webcam number N; the address of a stream, as rtsp://...; or `gstreamer:` and a pipeline.
        start: Which image of a folder or video comes first, counted from 0.
        width: Asked of a webcam, in pixels; 0: as it likes.
        height: The same.
        rate: Frames a second asked of a webcam; 0: as it likes.

    Raises:
        SourceError: There is nothing readable under this name, or it does not take a size or a start.
    """
    kind, _, target = name.partition(":")
    if (width or height) and kind != "webcam":
        raise SourceError(
            f"width and height: found {width}x{height}, expected them for webcam:N only, not for {name}"
        )
    live = kind in ("webcam", "gstreamer") or "://" in name
    if start and live:
        raise SourceError(f"start: found {start}, expected 0 for {name}, which has no beginning")
    if kind == "webcam":
        return open_webcam(_number(name, target), width, height, rate)
    if kind == "gstreamer":
        return open_pipeline(target)
    return open_address(name) if live else _open_path(target if kind == "file" else name, start)


def _number(name: str, target: str) -> int:
    if not (target.isascii() and target.isdecimal()):
        raise SourceError(f"source: found {name!r}, expected webcam:N with the webcam's number, e.g. webcam:0")
    return int(target)


def _open_path(text: str, start: int) -> ImageSource:
    path = Path(text).expanduser()
    if not text:
        raise SourceError("source: found no path, expected that of an image, a folder of images or a video")
    if not path.exists():
        raise SourceError(f"source: {path} does not exist, expected an image, a folder of images or a video")
    if path.is_dir():
        return open_folder(path, start)
    return ImageFiles([path], start) if path.suffix.lower() in IMAGE_SUFFIXES else VideoFile(path, start)
