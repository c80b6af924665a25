"""Readers of annotations: COCO JSON, Pascal VOC, YOLO and KITTI."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

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
from trt_ssd_ros.yaml_reader import PlainLoader

NAME_FILES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")
DONT_CARE = "DontCare"


def read_yolo(folder: Path, images: Path, names: Path | None = None) -> AnnotatedSet:
    """Read a folder of YOLO label files: class, x and y of the centre, width, height, in fractions of the image.

    An image without a label file has no objects, as in YOLO's own training.

    Args:
        folder: Folder of the label files.
        images: Folder of the images.
        names: File of the class names: YAML with `names`, or one name per line; None: one of NAME_FILES beside
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
    """Read a folder of KITTI label files (object development kit, readme.txt); DontCare regions are ignored.

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
            f"found no class names near {folder}, expected {' or '.join(NAME_FILES)}: give --names"
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


def read_voc(folder: Path, images: Path) -> AnnotatedSet:
    """Read a folder of XML files, one for each image.

    VOC counts pixels from 1 and includes the last: x1 = xmin - 1, x2 = xmax. `difficult` objects are ignored.

    Raises:
        AnnotationError: A file is damaged.
        RuntimeError: defusedxml is not installed; without it, entities in a file may fill the memory.
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
    except (parser.ParseError, ValueError) as error:  # defusedxml raises ValueError for forbidden XML
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"{path} is damaged or unsafe XML: {one_line(error)}") from error
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


def read_coco(path: Path, images: Path) -> AnnotatedSet:
    """Read a COCO JSON file.

    Args:
        path: Annotation file.
        images: Folder that `file_name` is relative to.

    Raises:
        AnnotationError: The file is damaged.
        OSError: The file cannot be read.
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


FORMATS = ("auto", "coco", "voc", "yolo", "kitti")


def read_annotations(path: Path, images: Path, kind: str = "auto", names: Path | None = None) -> AnnotatedSet:
    """Read and check annotations.

    Args:
        path: COCO JSON file, or folder of Pascal VOC, YOLO or KITTI files.
        images: Folder of the images.
        kind: Annotation format, one of FORMATS.
        names: File of the YOLO class names; None: see `read_yolo`.

    Raises:
        AnnotationError: The annotations are damaged or hold no object, or an image is missing.
        RuntimeError: A library is not installed.
        OSError: A file cannot be read.
    """
    if not path.exists():
        raise AnnotationError(f"--annotations: {path} does not exist")
    if not images.is_dir():
        raise AnnotationError(f"--images: {images} is no folder, expected the folder of the images")
    kind = _kind_of(path) if kind == "auto" else kind
    if (kind == "coco") != path.is_file():
        found, expected = ("a file", "a folder") if path.is_file() else ("a folder", "a JSON file")
        raise AnnotationError(f"--annotations: {path} is {found}, expected {expected} for --format {kind}")
    if kind == "yolo":
        return read_yolo(path, images, names).checked(images)
    return {"coco": read_coco, "voc": read_voc, "kitti": read_kitti}[kind](path, images).checked(images)


def _kind_of(path: Path) -> str:
    if path.is_file():
        return "coco"
    if next(annotation_files(path, ".xml"), None) is not None:
        return "voc"
    for text in annotation_files(path, ".txt"):
        words = [] if text.name in NAME_FILES else read_small_text(text).partition("\n")[0].split()
        if words:
            return "kitti" if len(words) >= 15 else "yolo"
    raise AnnotationError(
        f"--annotations: found neither XML nor text with an object in {path}, expected VOC, YOLO or KITTI files"
    )
