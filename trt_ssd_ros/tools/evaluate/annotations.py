"""AnnotatedSet: images and their ground truth in any format, and the checks that its readers share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.files import read_file
from trt_ssd_ros.images.files import IMAGE_SUFFIXES, stem

LARGEST_FILE = 1 << 22
"""Bytes of the largest annotation file of a single image."""


class AnnotationError(ValueError):
    """Annotations are damaged, or do not fit: says where, what was found and what was expected."""


@dataclass(frozen=True)
class TrueBox:
    """One annotated object.

    Attributes:
        label: What it is.
        corners: x1 y1 x2 y2 in pixels, or in fractions of the image, see `AnnotatedImage`.
        ignored: Whether finding it counts neither for nor against a detector: a crowd, a difficult object, or a
            region that was not annotated. An empty label then stands for all labels.
    """

    label: str
    corners: tuple[float, float, float, float]
    ignored: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and what is in it.

    Attributes:
        name: Its path relative to the folder of the images.
        path: Its path.
        boxes: What is in it.
        in_fractions: Whether corners are fractions of its width and height rather than pixels.
        size: Width and height for which the corners were written, where the annotations say.
    """

    name: str
    path: Path
    boxes: tuple[TrueBox, ...]
    in_fractions: bool = False
    size: tuple[int, int] | None = None

    def corners(self, width: int, height: int) -> NDArray[np.float32]:
        """Return the boxes (N, 4), x1 y1 x2 y2 in pixels of the image, which is width x height."""
        corners = np.array([box.corners for box in self.boxes], np.float64).reshape(-1, 4)
        scale = (width, height, width, height) if self.in_fractions else (1, 1, 1, 1)
        return np.asarray(corners * scale, np.float32)


@dataclass(frozen=True)
class AnnotatedSet:
    """Images and their annotations.

    Attributes:
        kind: The format they were read from.
        images: In the order of their names.
        labels: All labels, in the format's own order.
    """

    kind: str
    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...]

    def checked(self, folder: Path) -> AnnotatedSet:
        """Return itself if there is something to evaluate, and every image is there.

        Raises:
            AnnotationError: There is no image, no object, or an image's file is missing.
        """
        if not self.images:
            raise AnnotationError(f"found no annotated image for {folder}, expected one or more")
        if not any(not box.ignored for image in self.images for box in image.boxes):
            raise AnnotationError(f"found {len(self.images)} images without a single object, expected one or more")
        missing = [image for image in self.images if not image.path.is_file()]
        if missing:
            count = f"{len(missing)} of {len(self.images)} annotated images"
            raise AnnotationError(f"{count} are not in {folder}, e.g. {missing[0].path}: is --images right?")
        return self

    def renamed(self, names: Mapping[str, str]) -> AnnotatedSet:
        """Return the same with other labels; those that differ in case only become one, spelled as the first.

        Raises:
            AnnotationError: There is no such label.
        """
        for old in names:
            if old not in self.labels:
                raise AnnotationError(
                    f"--map: found {old!r}, expected a label of the annotations: {_few(self.labels)}"
                )
        spelled: dict[str, str] = {}
        new = {"": ""}
        for label in self.labels:
            name = names.get(label, label)
            new[label] = spelled.setdefault(name.casefold(), name)
        images = (
            replace(image, boxes=tuple(replace(b, label=new[b.label]) for b in image.boxes))
            for image in self.images
        )
        return replace(self, images=tuple(images), labels=tuple(spelled.values()))

    def first(self, count: int | None) -> AnnotatedSet:
        """Return the same with the first `count` images only; None: all."""
        return replace(self, images=self.images[:count])

    def only(self, labels: Sequence[str]) -> AnnotatedSet:
        """Return the same without objects of other labels; those that stand for all labels stay."""
        kept = set(labels)
        images = (
            replace(image, boxes=tuple(box for box in image.boxes if box.label in kept or not box.label))
            for image in self.images
        )
        return replace(self, images=tuple(images), labels=tuple(label for label in self.labels if label in kept))


def is_box(x1: float, y1: float, x2: float, y2: float) -> bool:
    """Tell whether these are the corners of a box."""
    return all(map(math.isfinite, (x1, y1, x2, y2))) and x1 <= x2 and y1 <= y2


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return the size of an image that annotations state, if they do."""
    try:
        size = int(width), int(height)
    except (OverflowError, TypeError, ValueError):
        return None
    return size if min(size) > 0 else None


def check_labels(unknown: Sequence[str], of: str) -> None:
    """Require that a detector knows all labels of the annotations.

    Raises:
        AnnotationError: There are unknown ones.
    """
    if unknown:
        raise AnnotationError(
            f"{of} does not know {_few(unknown)}: --map {_quoted(unknown[0])}=LABEL names one as the model does, "
            "--known-only leaves them out"
        )


def _few(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return ", ".join(map(repr, labels[:8])) + more


def _quoted(label: str) -> str:
    return f"'{label}'" if " " in label else label


def read_small_text(path: Path) -> str:
    """Return what an annotation file of one image says.

    Raises:
        AnnotationError: It is no text, or too large to be one.
        OSError: It cannot be read.
    """
    try:
        return read_file(path, LARGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is no text ({error.reason})") from error
    except ValueError as error:
        raise AnnotationError(f"{error}: expected annotations of one image") from error


class ImageFolder:
    """Finds the image that belongs to an annotation file.

    Args:
        folder: Holds images, at any depth.

    Raises:
        AnnotationError: It does not exist.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise AnnotationError(f"--images: {folder} is no folder, expected the one with the images")
        self.folder = folder
        self._by_stem: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self._by_stem.setdefault(stem(path.relative_to(folder).as_posix()), path)

    def paths(self) -> Iterable[Path]:
        """Return all images."""
        return self._by_stem.values()

    def image_of(self, annotations: Path, root: Path) -> Path:
        """Return the image with the same path as an annotation file, or where it would be."""
        name = annotations.relative_to(root).with_suffix("").as_posix()
        return self._by_stem.get(name, self.folder / f"{name}.jpg")

    def name(self, path: Path) -> str:
        """Return an image's name."""
        return path.relative_to(self.folder).as_posix()


def annotation_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Go through the annotation files of a folder, in order."""
    return (path for path in sorted(folder.rglob(f"*{suffix}")) if path.is_file())
