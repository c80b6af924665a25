"""Image sources by name. To add one, add a file, a kind in `SourceName` and a line in `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event

import cv2
import numpy as np

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.files import IMAGE_SUFFIXES, ImageFiles, images_of_folder, read_image_file
from trt_ssd_ros.images.recording import Recording, is_recording
from trt_ssd_ros.images.source import Capture, Image, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.source_name import SourceName, without_password
from trt_ssd_ros.images.stream import network_stream, pipeline_stream, webcam
from trt_ssd_ros.images.video import FALLBACK_RATE, VideoFile

TOUR_HEIGHT = 800
TOUR_FRAMES = 240
EXPECTED = "an image, a folder of images, a video or a recording"


def open_source(name: str, width: int = 0, height: int = 0, rate: float = 0.0) -> ImageSource:
    """Open a source by name.

    Args:
        name: demo; webcam:N; the address of a stream, as rtsp://...; gstreamer:PIPELINE; or the path of an image,
            a folder of images, a video or a recording, with or without the prefix `file:`.
        width: Width in pixels to request from a webcam; 0: the webcam's default.
        height: Height in pixels to request from a webcam; 0: the webcam's default.
        rate: Frames per second to request from a webcam; 0: the webcam's default.

    Raises:
        SourceError: The source does not exist or cannot be read, or its size cannot be set.
        RuntimeError: A required library is not installed.
    """
    source = find_source(name, width, height, rate)
    source.open()
    return source


def find_source(name: str, width: int = 0, height: int = 0, rate: float = 0.0) -> ImageSource:
    """Return a source by name, without opening it if it is live; see `open_source`.

    Raises:
        SourceError: The name or the size is wrong, so that waiting for the source is useless.
        RuntimeError: A required library is not installed.
    """
    parsed = SourceName.parse(name)
    if (width or height) and parsed.kind != "webcam":
        raise SourceError(
            f"width and height: found {width}x{height}, expected them for webcam:N only, "
            f"not for {without_password(name)}"
        )
    if parsed.kind == "webcam":
        return webcam(_number(name, parsed.target), width, height, rate)
    return SOURCES[parsed.kind](parsed.target)


def open_sources(
    names: Sequence[str], topic: str = "", exclude: Collection[Path] = (), stop: Event | None = None
) -> ImageSource:
    """Open the inputs of a command line: any number of images and folders, or one source of another kind.

    Args:
        names: Names of sources, as in `open_source`.
        topic: Image topic of a recording; empty: its only image topic.
        exclude: Folders whose images are skipped, because they were made from the others.
        stop: Event that ends the opening and the images of a live source.

    Raises:
        SourceError: A source does not exist or cannot be read, or the names cannot be combined.
        RuntimeError: A required library is not installed.
    """
    groups = [image_paths(name, exclude) for name in names]
    paths = [path for group in groups for path in group or ()]
    if None not in groups:
        return ImageFiles(list(dict.fromkeys(paths)))
    if len(names) > 1:
        other = without_password(names[groups.index(None)])
        raise SourceError(f"found {other} among {len(names)} inputs, expected images and folders, or one video")
    parsed = SourceName.parse(names[0])
    path = Path(parsed.target).expanduser()
    if parsed.kind == "file" and is_recording(path):
        return Recording(path, topic)
    source = find_source(names[0])
    source.stop_on(stop or Event())
    source.open()
    return source


def image_paths(name: str, exclude: Collection[Path]) -> list[Path] | None:
    """Return the paths of the images that a name stands for; None if it is another kind of source."""
    parsed = SourceName.parse(name)
    path = Path(parsed.target).expanduser()
    if parsed.kind != "file" or not parsed.target or is_recording(path):
        return None
    if path.is_dir():
        return images_of_folder(path, exclude)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    if not path.exists():
        raise SourceError(f"source: {path} does not exist, expected an image")
    return [path]


def _open_path(text: str) -> ImageSource:
    path = Path(text).expanduser()
    if not text:
        raise SourceError(f"source: found an empty name, expected {EXPECTED}")
    if not path.exists():
        raise SourceError(f"source: {without_password(str(path))} does not exist, expected {EXPECTED}")
    if is_recording(path):
        return Recording(path)
    if path.is_dir():
        return ImageFiles(images_of_folder(path))
    if not path.is_file():
        raise SourceError(f"source: {path} is not a file, expected {EXPECTED}")
    return ImageFiles([path]) if path.suffix.lower() in IMAGE_SUFFIXES else VideoFile(path)


def _number(name: str, target: str) -> int:
    if not (target.isascii() and target.isdecimal()):
        raise SourceError(
            f"source: found {name!r}, expected webcam:N with the webcam's number, for example webcam:0"
        )
    return int(target)


class PhotoTour(ImageSource):
    """Demo source: a window that pans over photos laid side by side, so that the objects move.

    Args:
        photos: Paths of the photos.
        width: Width of the window in pixels.
        height: Height of the window in pixels; at most TOUR_HEIGHT.
    """

    count = TOUR_FRAMES

    def __init__(self, photos: Sequence[Path], width: int = 1280, height: int = 720) -> None:
        self._size = width, height
        self._panorama = np.hstack([_scaled_to_height(read_image_file(photo), TOUR_HEIGHT) for photo in photos])

    def captures(self) -> Iterator[Capture]:
        """Pan once to the last photo and back; see `ImageSource.captures`."""
        width, height = self._size
        free_y, free_x = np.subtract(self._panorama.shape[:2], (height, width))
        for index, phase in enumerate(np.linspace(0, 2 * np.pi, TOUR_FRAMES, endpoint=False)):
            x = int(free_x * (1 - np.cos(phase)) / 2)
            y = int(free_y * (1 - np.cos(3 * phase)) / 2)
            window = np.asarray(self._panorama[y : y + height, x : x + width])
            yield partial(SourceImage, index, f"{index:06d}", window, seconds=index / FALLBACK_RATE)


def _scaled_to_height(image: Image, height: int) -> Image:
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _open_demo(_: str) -> PhotoTour:
    return PhotoTour(sorted((share_folder() / "photos").glob("*.jpg")))


SOURCES: Mapping[str, Callable[[str], ImageSource]] = {
    "demo": _open_demo,
    "gstreamer": pipeline_stream,
    "stream": network_stream,
    "file": _open_path,
}
"""Functions by kind, except for webcams, whose function also takes size and rate."""
