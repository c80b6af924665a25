"""Annotations in text files with a line for each object: YOLO and KITTI."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.models.card_reader import PlainLoader
from trt_ssd_ros.tools.evaluate.annotations import (
    AnnotatedImage,
    AnnotatedSet,
    AnnotationError,
    ImageFolder,
    TrueBox,
    annotation_files,
    is_box,
    read_small_text,
)

NAME_FILES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")
DONT_CARE = "DontCare"


def read_yolo(folder: Path, images: Path, names: Path | None = None) -> AnnotatedSet:
    """Read a folder of YOLO label files: class, x and y of the centre, width, height, in fractions of the image.

    An image without a file holds no object, as in YOLO's own training.

    Args:
        folder: Holds the label files.
        images: Holds the images.
        names: Names of the classes: a YAML file with `names`, or a line for each; None: one of NAME_FILES beside
            or above the labels.

    Raises:
        AnnotationError: A file is damaged or missing.
        OSError: A file cannot be read.
    """
    labels = _read_names(names or _find_names(folder))
    places = ImageFolder(images)
    boxes = {}
    for path in annotation_files(folder, ".txt"):
        if path.name not in NAME_FILES:
            boxes[places.image_of(path, folder)] = tuple(_lines(path, lambda w, at: _yolo_box(w, labels, at)))
    paths = sorted({*places.paths(), *boxes})
    read = (AnnotatedImage(places.name(path), path, boxes.get(path, ()), in_fractions=True) for path in paths)
    return AnnotatedSet("YOLO", tuple(read), labels)


def read_kitti(folder: Path, images: Path) -> AnnotatedSet:
    """Read a folder of KITTI label files (object development kit, readme.txt); regions DontCare are ignored.

    Raises:
        AnnotationError: A file is damaged.
        OSError: A file cannot be read.
    """
    places = ImageFolder(images)
    read = []
    for path in annotation_files(folder, ".txt"):
        image = places.image_of(path, folder)
        read.append(AnnotatedImage(places.name(image), image, tuple(_lines(path, _kitti_box))))
    labels = sorted({box.label for image in read for box in image.boxes if box.label})
    return AnnotatedSet("KITTI", tuple(sorted(read, key=lambda image: image.name)), tuple(labels))


def _lines(path: Path, box: Callable[[Sequence[str], str], TrueBox]) -> Iterator[TrueBox]:
    for number, line in enumerate(read_small_text(path).splitlines(), 1):
        if line.strip():
            yield box(line.split(), f"{path}, line {number}: found {line.strip()[:60]!r}")


def _yolo_box(words: Sequence[str], labels: Sequence[str], found: str) -> TrueBox:
    try:
        class_id, (x, y, width, height) = int(words[0]), (float(word) for word in words[1:])
    except ValueError as error:
        raise AnnotationError(f"{found}, expected a class and 4 numbers") from error
    if not 0 <= class_id < len(labels):
        raise AnnotationError(f"{found}, expected a class of 0 to {len(labels) - 1}")
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 <= width <= 1 and 0 <= height <= 1):
        raise AnnotationError(f"{found}, expected fractions of the image, 0 to 1")
    return TrueBox(labels[class_id], (x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def _kitti_box(words: Sequence[str], found: str) -> TrueBox:
    try:
        x1, y1, x2, y2 = (float(word) for word in words[4:8])
    except ValueError as error:
        raise AnnotationError(f"{found}, expected a type and 14 numbers") from error
    if len(words) not in (15, 16) or not is_box(x1, y1, x2, y2):
        raise AnnotationError(f"{found}, expected a type and 14 numbers, the 4th to 7th left, top, right, bottom")
    ignored = words[0] == DONT_CARE
    return TrueBox("" if ignored else words[0], (x1, y1, x2, y2), ignored)


def _find_names(folder: Path) -> Path:
    places = [place / name for place in (folder, folder.parent, folder.parent.parent) for name in NAME_FILES]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise AnnotationError(
            f"found no names of the classes near {folder}, expected {' or '.join(NAME_FILES)}: --names"
        )
    return found


def _read_names(path: Path) -> tuple[str, ...]:
    text = read_small_text(path)
    if path.suffix not in {".yaml", ".yml"}:
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        names: Any = yaml.load(text, PlainLoader)["names"]  # noqa: S506 - it is a SafeLoader
        listed = [names[number] for number in range(len(names))]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"{path}: {one_line(error)}, expected names, one for each class") from error
    return tuple(map(str, listed))
