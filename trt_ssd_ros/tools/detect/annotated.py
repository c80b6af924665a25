"""Annotated images, written as files or as a video that browsers play."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.files import atomic_file
from trt_ssd_ros.images.mp4 import Mp4Video
from trt_ssd_ros.images.source import ImageSource
from trt_ssd_ros.tools.detect.folder import expect_distinct
from trt_ssd_ros.tools.detect.several import SeveralSources

Image = NDArray[np.uint8]


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
    """H.264 video in MP4; see `Mp4Video`.

    Args:
        path: Video file, which exists once `finish` has returned.

    Raises:
        RuntimeError: PyAV is not installed, or has no H.264 encoder.
    """

    wanted = True

    def __init__(self, path: Path) -> None:
        self._video = Mp4Video(path)

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Encode one image; see `AnnotatedOutput.add`."""
        del name
        self._video.add(picture, seconds or 0.0)

    def contains(self, name: str) -> bool:
        """Return False: a resumed run encodes the whole video again."""
        del name
        return False

    def finish(self) -> None:
        """Complete the video and move it into place; do nothing without an image."""
        self._video.finish()

    def close(self) -> None:
        """Close the video; delete the file unless `finish` has completed it."""
        self._video.close()


class AnnotatedVideos:
    """A video for each of several sources, named as the source; see `SeveralSources`.

    Args:
        folder: Folder of the videos.
        sources: Labels of the sources, with which the names of their images begin.

    Raises:
        RuntimeError: PyAV is not installed, or has no H.264 encoder.
    """

    wanted = True

    def __init__(self, folder: Path, sources: Sequence[str]) -> None:
        self._videos = {source: AnnotatedVideo(folder / f"{source}.mp4") for source in sources}

    def add(self, name: str, picture: Image, seconds: float | None) -> None:
        """Encode one image; see `AnnotatedOutput.add`."""
        self._videos[name.rpartition("/")[0]].add(name, picture, seconds)

    def contains(self, name: str) -> bool:
        """Return False: a resumed run encodes the whole videos again."""
        del name
        return False

    def finish(self) -> None:
        """Complete the videos; see `AnnotatedVideo.finish`."""
        for video in self._videos.values():
            video.finish()

    def close(self) -> None:
        """Close the videos; delete the files unless `finish` has completed them."""
        for video in self._videos.values():
            video.close()


def open_output(draw: str, folder: Path, images: ImageSource) -> AnnotatedOutput:
    """Open the output for annotated images: none, a video, one for each of several sources, or a folder.

    Args:
        draw: Format as in `detect --draw`.
        folder: Output folder of the run.
        images: Images of the run.

    Raises:
        ResultError: Two images would be written to one file.
        RuntimeError: PyAV is not installed, or has no H.264 encoder.
    """
    if draw == "none":
        return NotAnnotated()
    if isinstance(images, SeveralSources) and draw in ("auto", "mp4"):
        return AnnotatedVideos(folder / "annotated", images.labels)
    if draw == "mp4" or (draw == "auto" and images.is_video):
        return AnnotatedVideo(folder / "annotated.mp4")
    annotated = AnnotatedFiles(folder / "annotated", "" if draw == "auto" else f".{draw}")
    expect_distinct(images.names, annotated.file_name)
    return annotated
