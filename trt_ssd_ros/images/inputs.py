"""Where the offline tools take their images from: files, folders, videos, cameras and recordings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.images.frame import ChannelOrder
from trt_ssd_ros.images.open_source import (
    IMAGE_SUFFIXES,
    ImageSource,
    SourceError,
    open_source,
    read_image_file,
)

FALLBACK_RATE = 30.0
"""Frames a second of a video that does not say."""


@dataclass(frozen=True, eq=False)
class InputImage:
    """One image of an input.

    Attributes:
        index: Its number from 0, those that cannot be read counted as well.
        name: Its path relative to the input, or the number or time of a frame.
        pixels: (H, W, 3) uint8, without any pixels if the image cannot be read.
        channel_order: Of the pixels.
        seconds: Its time in a video or a recording.
        problem: Why it cannot be read.
    """

    index: int
    name: str
    pixels: NDArray[np.uint8]
    channel_order: ChannelOrder = "bgr"
    seconds: float | None = None
    problem: str = ""

    @classmethod
    def unreadable(cls, index: int, name: str, problem: object) -> InputImage:
        """Return an image that cannot be read."""
        return cls(index, name, np.empty((0, 0, 3), np.uint8), problem=str(problem))


class Input(Protocol):
    """A sequence of images.

    Attributes:
        count: How many there are, as far as that is known beforehand.
        names: Their names, where that is known beforehand.
        is_video: Whether they follow upon each other in time.
        live: Whether they come when they come, and do not come again.
    """

    count: int | None
    names: Sequence[str]
    is_video: bool
    live: bool

    def images(self, start: int = 0) -> Iterator[InputImage]:
        """Go through the images from number `start` on.

        Raises:
            SourceError: It ends before there was one that can be read.
        """

    def close(self) -> None:
        """Give back files and devices."""


class ImageFileInput:
    """Image files, named relative to the folder that holds all of them."""

    is_video = live = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        absolute = [Path(os.path.normpath(path.absolute())) for path in paths]  # annotated images keep no ..
        base = os.path.commonpath([path.parent for path in absolute])
        self.names: Sequence[str] = [path.relative_to(base).as_posix() for path in absolute]
        self.count: int | None = len(paths)

    def images(self, start: int = 0) -> Iterator[InputImage]:
        """Read the files one by one; see `Input.images`."""
        for index, (path, name) in enumerate(zip(self._paths[start:], self.names[start:], strict=True), start):
            try:
                yield InputImage(index, name, read_image_file(path))
            except SourceError as error:
                yield InputImage.unreadable(index, name, error)

    def close(self) -> None:
        """Nothing to give back."""


class StreamInput:
    """A video file or a camera, frame by frame."""

    is_video = True
    names: Sequence[str] = ()

    def __init__(self, source: ImageSource, live: bool, count: int | None) -> None:
        self.live = live
        self.count = count
        self._source = source

    def images(self, start: int = 0) -> Iterator[InputImage]:
        """Decode from the beginning, because not every format seeks exactly; see `Input.images`."""
        begun, rate = time.monotonic(), self._source.rate or FALLBACK_RATE
        for index, pixels in enumerate(self._source.images()):
            seconds = time.monotonic() - begun if self.live else self._source.position or index / rate
            if index >= start:
                yield InputImage(index, f"{index:06d}", pixels, seconds=seconds)

    def close(self) -> None:
        """Give the file or device back."""
        self._source.close()


def open_input(names: Sequence[str], open_recording: Callable[[Path], Input], output: Path | None = None) -> Input:
    """Open what a command line names.

    Args:
        names: Images and folders of images, as many as you like; or one video, recording, or camera.
        open_recording: Opens a rosbag2 folder or an MCAP file.
        output: Folder whose images are left out, if any: they were made of the others.

    Raises:
        SourceError: There is nothing readable under a name, or several that do not go together.
        RuntimeError: A library that is needed is not installed.
    """
    pictures = [_image_paths(name, output) for name in names]
    if all(paths is not None for paths in pictures):
        paths = list(dict.fromkeys(path for group in pictures for path in group or ()))
        return ImageFileInput(paths)
    if len(names) > 1:
        other = next(name for name, paths in zip(names, pictures, strict=True) if paths is None)
        raise SourceError(f"found {other} among {len(names)} inputs, expected images and folders, or one video")
    return _open_stream(names[0], open_recording)


def is_recording(path: Path) -> bool:
    """Tell whether this is a rosbag2 folder or a file of one."""
    return (path / "metadata.yaml").is_file() or (path.is_file() and path.suffix in {".mcap", ".db3"})


def stem(name: str) -> str:
    """Return an image's name without the suffix of a file; the dot in a frame's time begins none."""
    suffix = Path(name).suffix
    return name[: len(name) - len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else name


def _image_paths(name: str, output: Path | None) -> list[Path] | None:
    if not name:
        raise SourceError("found an empty name, expected images, a folder, a video, a recording or a camera")
    path = Path(name).expanduser()
    if path.is_dir() and not is_recording(path):
        images = (file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir())
        if output:
            ours = os.path.realpath(output)
            images = (file for file in images if not Path(os.path.realpath(file)).is_relative_to(ours))
        paths = sorted(images)
        if not paths:
            raise SourceError(f"found no image in {path}, expected files ending in {sorted(IMAGE_SUFFIXES)}")
        return paths
    if path.suffix.lower() not in IMAGE_SUFFIXES or "://" in name:
        return None
    if not path.exists():
        raise SourceError(f"{path} does not exist, expected an image")
    return [path]


def _open_stream(name: str, open_recording: Callable[[Path], Input]) -> Input:
    path = Path(name).expanduser()
    if is_recording(path):
        return open_recording(path)
    live = name.startswith(("webcam:", "gstreamer:")) or "://" in name
    if not live and path.exists() and not path.is_file():
        raise SourceError(f"{path} is no file, expected an image, a folder, a video, a recording, or webcam:N")
    return StreamInput(open_source(name), live, None if live else _frame_count(path))


def _frame_count(path: Path) -> int | None:
    """Return how many frames a video claims to have."""
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count if count > 0 else None
