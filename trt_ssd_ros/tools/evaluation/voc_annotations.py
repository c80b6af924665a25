"""Annotations in Pascal VOC XML (host.robots.ox.ac.uk/pascal/VOC, development kit)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.tools.evaluate.annotations import (
    AnnotatedImage,
    AnnotatedSet,
    AnnotationError,
    ImageFolder,
    TrueBox,
    annotation_files,
    is_box,
    read_small_text,
    stated_size,
)


def read_voc(folder: Path, images: Path) -> AnnotatedSet:
    """Read a folder of XML files, one for each image.

    Pixels are counted from 1 in VOC, and the last one belongs to the box: x1 = xmin - 1, x2 = xmax. Objects that
    are `difficult` are ignored.

    Raises:
        AnnotationError: A file is damaged.
        RuntimeError: defusedxml is not installed: files of others may hold entities that fill the memory.
        OSError: A file cannot be read.
    """
    parser = load_library("defusedxml.ElementTree", "defusedxml", "reading Pascal VOC")
    places = ImageFolder(images)
    read = []
    for path in annotation_files(folder, ".xml"):
        image = places.image_of(path, folder)
        root = _root(parser, path)
        boxes = (_voc_box(item, f"{path}: object {number}") for number, item in enumerate(root.iter("object"), 1))
        size = stated_size(root.findtext("size/width"), root.findtext("size/height"))
        read.append(AnnotatedImage(places.name(image), image, tuple(boxes), size=size))
    labels = sorted({box.label for image in read for box in image.boxes})
    return AnnotatedSet("Pascal VOC", tuple(sorted(read, key=lambda image: image.name)), tuple(labels))


def _root(parser: Any, path: Path) -> Any:
    try:
        root = parser.fromstring(read_small_text(path))
    except (parser.ParseError, ValueError) as error:  # ValueError: what defusedxml forbids
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"{path} is no XML that can be trusted: {one_line(error)}") from error
    if root.tag != "annotation":
        raise AnnotationError(f"{path}: found <{root.tag}>, expected <annotation>")
    return root


def _voc_box(item: Any, where: str) -> TrueBox:
    label = (item.findtext("name") or "").strip()
    if not label:
        raise AnnotationError(f"{where}: found no <name>, expected one")
    texts = [item.findtext(f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x1, y1, x2, y2 = (float(text) for text in texts)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{where}: found bndbox {texts}, expected xmin, ymin, xmax and ymax") from error
    if not is_box(x1, y1, x2, y2):
        raise AnnotationError(f"{where}: found bndbox {texts}, expected xmin <= xmax and ymin <= ymax")
    return TrueBox(label, (x1 - 1, y1 - 1, x2, y2), (item.findtext("difficult") or "0").strip() == "1")
