"""AnnotatedSet: images and their ground truth in any format; checks for its readers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.errors import counted
from trt_ssd_ros.files import read_file
from trt_ssd_ros.images.files import IMAGE_SUFFIXES, stem

MAX_FILE_BYTES = 1 << 22
"""Size limit of the annotation file of one image, in bytes."""


class AnnotationError(ValueError):
    """Damaged annotations, or annotations that do not match images or detector."""


@dataclass(frozen=True)
class TrueBox:
    """One annotated object.

    Attributes:
        label: Class name; an ignored box with an empty label stands for all classes.
        corners: Corners x1 y1 x2 y2 in pixels, or in fractions of the image; see `AnnotatedImage`.
        ignored: Whether its detection counts neither for nor against a detector: a crowd, a difficult object, or
            an unannotated region.
    """

    label: str
    corners: tuple[float, float, float, float]
    ignored: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and its annotated objects.

    Attributes:
        name: Image path relative to the image folder.
        path: Image path.
        boxes: Annotated objects.
        in_fractions: Whether corners are fractions of the image width and height instead of pixels.
        size: Image width and height in pixels according to the annotations; None if they do not state it.
    """

    name: str
    path: Path
    boxes: tuple[TrueBox, ...]
    in_fractions: bool = False
    size: tuple[int, int] | None = None

    def corners(self, width: int, height: int) -> NDArray[np.float32]:
        """Return the boxes (N, 4) float32, x1 y1 x2 y2 in pixels, for an image of this size in pixels."""
        corners = np.array([box.corners for box in self.boxes], np.float64).reshape(-1, 4)
        scale = (width, height, width, height) if self.in_fractions else (1, 1, 1, 1)
        return np.asarray(corners * scale, np.float32)


@dataclass(frozen=True)
class AnnotatedSet:
    """Images and their annotations.

    Attributes:
        kind: Name of the annotation format.
        images: Images in the order of their names.
        labels: Class names in the order of the annotation format.
    """

    kind: str
    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...]

    def checked(self, folder: Path) -> AnnotatedSet:
        """Return this set if it holds an object and all its image files exist.

        Raises:
            AnnotationError: There is no image, no object, or an image's file is missing.
        """
        if not self.images:
            raise AnnotationError(f"found no annotated image for {folder}, expected one or more")
        if not any(not box.ignored for image in self.images for box in image.boxes):
            raise AnnotationError(
                f"found {counted(len(self.images), 'image')} without a single object, expected one or more"
            )
        missing = [image for image in self.images if not image.path.is_file()]
        if missing:
            count = f"{len(missing)} of {len(self.images)} annotated images"
            raise AnnotationError(f"{count} are not in {folder}, e.g. {missing[0].path}: check --images")
        return self

    def renamed(self, names: Mapping[str, str]) -> AnnotatedSet:
        """Return a copy with renamed labels; labels that differ only in case become one, the first of them.

        Raises:
            AnnotationError: The annotations have no such label.
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
        """Return a copy with the first `count` images; None: all images."""
        return replace(self, images=self.images[:count])

    def only(self, labels: Sequence[str]) -> AnnotatedSet:
        """Return a copy without objects of other labels; boxes that stand for all classes stay."""
        kept = set(labels)
        images = (
            replace(image, boxes=tuple(box for box in image.boxes if box.label in kept or not box.label))
            for image in self.images
        )
        return replace(self, images=tuple(images), labels=tuple(label for label in self.labels if label in kept))


def is_box(x1: float, y1: float, x2: float, y2: float) -> bool:
    """Return whether these are the corners of a box."""
    return all(map(math.isfinite, (x1, y1, x2, y2))) and x1 <= x2 and y1 <= y2


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return the image width and height that annotations state, in pixels; None without valid ones."""
    try:
        size = int(width), int(height)
    except (OverflowError, TypeError, ValueError):
        return None
    return size if min(size) > 0 else None


def check_labels(unknown: Sequence[str], run: str) -> None:
    """Require that a run knows all labels of the annotations.

    Raises:
        AnnotationError: There are unknown labels.
    """
    if unknown:
        raise AnnotationError(
            f"{run} does not know {_few(unknown)}: rename a label with --map {_quoted(unknown[0])}=LABEL, "
            "or exclude all with --known-only"
        )


def _few(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return ", ".join(map(repr, labels[:8])) + more


def _quoted(label: str) -> str:
    return f"'{label}'" if " " in label else label


def read_small_text(path: Path) -> str:
    """Return the text of the annotation file of one image.

    Raises:
        AnnotationError: The file is no text, or larger than MAX_FILE_BYTES.
        OSError: The file cannot be read.
    """
    try:
        return read_file(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is no UTF-8 text ({error.reason})") from error
    except ValueError as error:
        raise AnnotationError(f"{error}: expected the annotations of one image") from error


class ImageFolder:
    """Index of the images in a folder, by relative path without suffix.

    Args:
        folder: Folder of images, at any depth.

    Raises:
        AnnotationError: The folder does not exist.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise AnnotationError(f"--images: {folder} is no folder, expected the folder of the images")
        self.folder = folder
        self._by_stem: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self._by_stem.setdefault(stem(path.relative_to(folder).as_posix()), path)

    def paths(self) -> Iterable[Path]:
        """Return the paths of all images."""
        return self._by_stem.values()

    def image_of(self, annotations: Path, root: Path) -> Path:
        """Return the image with the relative path of an annotation file, or a JPEG's path if there is none."""
        name = annotations.relative_to(root).with_suffix("").as_posix()
        return self._by_stem.get(name, self.folder / f"{name}.jpg")

    def name(self, path: Path) -> str:
        """Return the image path relative to the folder."""
        return path.relative_to(self.folder).as_posix()


def annotation_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Iterate over the annotation files of a folder, in order."""
    return (path for path in sorted(folder.rglob(f"*{suffix}")) if path.is_file())
