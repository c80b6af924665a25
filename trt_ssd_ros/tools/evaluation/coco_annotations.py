"""Annotations in COCO JSON (cocodataset.org, "Data format")."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.tools.evaluate.annotations import (
    AnnotatedImage,
    AnnotatedSet,
    AnnotationError,
    TrueBox,
    is_box,
    stated_size,
)


def read_coco(path: Path, images: Path) -> AnnotatedSet:
    """Read a COCO JSON file.

    Args:
        path: The file.
        images: Folder that `file_name` is relative to.

    Raises:
        AnnotationError: It is damaged.
        OSError: It cannot be read.
    """
    fields = _parsed(path)
    try:
        labels = {item["id"]: str(item["name"]) for item in fields["categories"]}
        names = {item["id"]: str(item["file_name"]) for item in fields["images"]}
        sizes = {item["id"]: stated_size(item.get("width"), item.get("height")) for item in fields["images"]}
        annotations = list(fields["annotations"])
    except (AttributeError, KeyError, TypeError) as error:
        raise AnnotationError(f"{path}: {_missing(error)}, expected images, annotations and categories") from error
    boxes = defaultdict(list)
    for number, item in enumerate(annotations):
        image, box = _box(item, labels, names, f"{path}: annotations[{number}]")
        boxes[image].append(box)
    read = (AnnotatedImage(n, images / n, tuple(boxes[key]), size=sizes[key]) for key, n in names.items())
    return AnnotatedSet("COCO", tuple(sorted(read, key=lambda image: image.name)), tuple(labels.values()))


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is no JSON: {one_line(error)}") from error
    if not isinstance(fields, dict):
        raise AnnotationError(
            f"{path} holds a {type(fields).__name__}, expected images, annotations and categories"
        )
    return fields


def _box(
    item: Mapping[str, Any], labels: Mapping[Any, str], names: Mapping[Any, str], where: str
) -> tuple[Any, TrueBox]:
    try:
        x, y, width, height = (float(number) for number in item["bbox"])
        image, category, crowd = item["image_id"], item["category_id"], bool(item.get("iscrowd", 0))
        hash((image, category))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"{where}: {_missing(error)}, expected image_id, category_id and bbox") from error
    if image not in names:
        raise AnnotationError(f"{where}: found image_id {image!r}, expected the id of an image")
    if category not in labels:
        raise AnnotationError(f"{where}: found category_id {category!r}, expected the id of a category")
    if not is_box(x, y, x + width, y + height):
        raise AnnotationError(f"{where}: found bbox {item['bbox']}, expected x, y, width and height")
    return image, TrueBox(labels[category], (x, y, x + width, y + height), crowd)


def _missing(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
