"""Exports of the results: COCO JSON, CSV and KITTI."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.files import atomic_file
from trt_ssd_ros.images.files import stem
from trt_ssd_ros.tools.results import BOX_DIGITS, SCORE_DIGITS, ImageResult, read_header, read_results

KITTI_LINE = "-1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
"""Truncation, occlusion, angle, box, dimensions, location and rotation; the values for "unknown" are those of
the object development kit (cvlibs.net/datasets/kitti, readme.txt)."""


def write_coco(log: Path, folder: Path) -> Path:
    """Write coco.json: images, categories, and annotations with a score, as pycocotools reads them.

    Ids start at 1: pycocotools treats 0 as none.
    """
    labels = read_header(log).labels
    path = folder / "coco.json"
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1) if label]
    with atomic_file(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.write('{"categories": ' + json.dumps(categories) + ',\n"images": [\n')
        _write_list(file, _coco_images(log))
        file.write('],\n"annotations": [\n')
        _write_list(file, _coco_annotations(log))
        file.write("]}\n")
    return path


def _readable(log: Path) -> Iterator[ImageResult]:
    return (result for result in read_results(log) if not result.unreadable)


def _coco_images(log: Path) -> Iterator[Mapping[str, Any]]:
    for result in _readable(log):
        yield {"id": result.index + 1, "file_name": result.name, "width": result.width, "height": result.height}


def _coco_annotations(log: Path) -> Iterator[Mapping[str, Any]]:
    number = 0
    for result in _readable(log):
        found = result.detections
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
            number += 1
            x1, y1, x2, y2 = (float(corner) for corner in box)
            yield {
                "id": number,
                "image_id": result.index + 1,
                "category_id": int(class_id) + 1,
                "bbox": [round(value, BOX_DIGITS) for value in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), BOX_DIGITS),
                "iscrowd": 0,
                "score": round(float(score), SCORE_DIGITS),
            }


def _write_list(file: TextIO, items: Iterable[Mapping[str, Any]]) -> None:
    for number, item in enumerate(items):
        file.write((",\n" if number else "") + json.dumps(item))


def _text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def write_csv(log: Path, folder: Path) -> Path:
    """Write detections.csv: one row per detection."""
    header = read_header(log)
    path = folder / "detections.csv"
    with atomic_file(path) as unfinished, _text(unfinished) as file:
        rows = csv.writer(file)
        rows.writerow(("index", "image", "seconds", "class_id", "label", "score", "x1", "y1", "x2", "y2"))
        for result in _readable(log):
            found = result.detections
            for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
                corners = (round(float(corner), BOX_DIGITS) for corner in box)
                label = int(class_id) + header.first_class_id, header.labels[class_id]
                numbers = round(float(score), SCORE_DIGITS), *corners
                rows.writerow((result.index, result.name, result.seconds, *label, *numbers))
    return path


def kitti_name(name: str) -> str:
    """Return the KITTI file of an image, relative to the output folder."""
    return f"kitti/{stem(name)}.txt"


def write_kitti(log: Path, folder: Path) -> Path:
    """Write kitti/: one file per image, one line per detection; spaces in labels become underscores."""
    labels = ["_".join(label.split()) for label in read_header(log).labels]
    (folder / "kitti").mkdir(parents=True, exist_ok=True)
    for result in _readable(log):
        with atomic_file(folder / kitti_name(result.name)) as unfinished:
            unfinished.write_text("".join(_kitti_lines(result.detections, labels)), encoding="utf-8")
    return folder / "kitti"


def _kitti_lines(found: Detections, labels: Sequence[str]) -> Iterator[str]:
    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
        corners = " ".join(f"{corner:.2f}" for corner in box)
        yield f"{labels[class_id]} {KITTI_LINE.format(box=corners)} {score:.6f}\n"


FORMATS: Mapping[str, Callable[[Path, Path], Path]] = {
    "coco": write_coco,
    "csv": write_csv,
    "kitti": write_kitti,
}
