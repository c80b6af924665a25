"""Open annotations of any of the formats, told by what they look like."""

from __future__ import annotations

from pathlib import Path

from trt_ssd_ros.tools.evaluate.annotations import (
    AnnotatedSet,
    AnnotationError,
    annotation_files,
    read_small_text,
)
from trt_ssd_ros.tools.evaluation.coco_annotations import read_coco
from trt_ssd_ros.tools.evaluation.text_annotations import NAME_FILES, read_kitti, read_yolo
from trt_ssd_ros.tools.evaluation.voc_annotations import read_voc

FORMATS = ("auto", "coco", "voc", "yolo", "kitti")


def read_annotations(path: Path, images: Path, kind: str = "auto", names: Path | None = None) -> AnnotatedSet:
    """Read annotations.

    Args:
        path: A COCO JSON file, or a folder of Pascal VOC, YOLO or KITTI files.
        images: Folder of the images.
        kind: One of FORMATS.
        names: File that names the classes, for YOLO.

    Raises:
        AnnotationError: They are damaged, there is nothing to evaluate, or an image is missing.
        RuntimeError: A library is not installed.
        OSError: A file cannot be read.
    """
    if not path.exists():
        raise AnnotationError(f"--annotations: {path} does not exist")
    if not images.is_dir():
        raise AnnotationError(f"--images: {images} is no folder, expected the one with the images")
    kind = _kind_of(path) if kind == "auto" else kind
    if (kind == "coco") != path.is_file():
        found, expected = ("a file", "a folder") if path.is_file() else ("a folder", "a JSON file")
        raise AnnotationError(f"--annotations: {path} is {found}, expected {expected} of {kind}")
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
        f"--annotations: found neither XML nor text with an object in {path}, expected VOC, YOLO or KITTI"
    )
