"""A set of two images that is small enough to score by hand, in every format, and what a detector found there.

Cats, by falling score: right 0.9, wrong 0.85, and 0.8 with IoU 0.625; there are two. The only dog is found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.results import ImageResult, ResultHeader

Truth = dict[str, list[tuple[str, tuple[float, ...]]]]
FoundBox = tuple[str, float, tuple[float, ...]]

LABELS = ("Bear", "Cat", "Dog")
TRUTH = {
    "a.png": [("Cat", (10, 10, 50, 50)), ("Dog", (60, 60, 90, 90))],
    "b.png": [("Cat", (0, 0, 40, 40))],
}
FOUND = {
    "a.png": [("Cat", 0.9, (10, 10, 50, 50)), ("Cat", 0.85, (60, 10, 90, 40)), ("Dog", 0.7, (60, 60, 90, 90))],
    "b.png": [("Cat", 0.8, (0, 0, 40, 25))],
}
SIDE = 100

AT_BOTH = (51 * 1 + 50 * 2 / 3) / 101
"""IoU .5 to .6: precision is 1 up to recall 0.5 (51 of 101 points), then 2/3."""
AT_ONE = 51 / 101
"""IoU .65 to .95: recall ends at 0.5."""
CAT = (3 * AT_BOTH + 7 * AT_ONE) / 10
MAP, MAP50, MAP75 = (CAT + 1) / 2, (AT_BOTH + 1) / 2, (AT_ONE + 1) / 2


def write_images(folder: Path, truth: Truth = TRUTH) -> Path:
    folder.mkdir(parents=True)
    for name in truth:
        cv2.imwrite(str(folder / name), np.full((SIDE, SIDE, 3), 128, np.uint8))
    return folder


def write_coco(path: Path, truth: Truth = TRUTH, ignored: Collection[int] = ()) -> Path:
    names = sorted({label for boxes in truth.values() for label, _ in boxes})
    annotations = [
        {
            "id": 10 + number, "image_id": 7 + list(truth).index(image), "category_id": 3 + names.index(label),
            "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(number in ignored),
        }
        for number, (image, label, (x1, y1, x2, y2)) in enumerate(
            (image, label, box) for image, boxes in truth.items() for label, box in boxes
        )
    ]  # fmt: skip
    content = {
        "images": [{"id": 7 + number, "file_name": image} for number, image in enumerate(truth)],
        "categories": [{"id": 3 + number, "name": name} for number, name in enumerate(names)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content))
    return path


def write_voc(folder: Path, truth: Truth = TRUTH, difficult: Collection[int] = ()) -> Path:
    folder.mkdir()
    number = 0
    for image, boxes in truth.items():
        lines = ["<annotation>"]
        for label, (x1, y1, x2, y2) in boxes:
            corners = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            hard = f"<difficult>{int(number in difficult)}</difficult>"
            lines.append(f"<object><name>{label}</name>{hard}<bndbox>{corners}</bndbox></object>")
            number += 1
        (folder / image).with_suffix(".xml").write_text("\n".join([*lines, "</annotation>"]))
    return folder


def write_yolo(folder: Path, truth: Truth = TRUTH) -> Path:
    folder.mkdir()
    (folder.parent / "data.yaml").write_text("names: {0: Dog, 1: Cat}\n")
    for image, boxes in truth.items():
        lines = [
            f"{['Dog', 'Cat'].index(label)} {(x1 + x2) / 2 / SIDE} {(y1 + y2) / 2 / SIDE} "
            f"{(x2 - x1) / SIDE} {(y2 - y1) / SIDE}\n"
            for label, (x1, y1, x2, y2) in boxes
        ]
        (folder / image).with_suffix(".txt").write_text("".join(lines))
    return folder


def write_kitti(folder: Path, truth: Truth = TRUTH) -> Path:
    folder.mkdir()
    for image, boxes in truth.items():
        lines = [f"{label} 0.0 0 -1.57 {' '.join(map(str, box))} 1 1 1 0 0 9 0\n" for label, box in boxes]
        (folder / image).with_suffix(".txt").write_text("".join(lines))
    return folder


def write_results(path: Path, found: dict[str, list[FoundBox]] = FOUND, threshold: float = 0.01) -> Path:
    lines = [ResultHeader({"model": "by hand", "score_threshold": threshold}, LABELS).line()]
    for index, (image, items) in enumerate(found.items()):
        detections = as_detections(items)
        lines.append(ImageResult(index, image, SIDE, SIDE, None, detections).line(LABELS))
    path.write_text("\n".join(lines) + "\n")
    return path


def as_detections(items: Sequence[FoundBox]) -> Detections:
    return Detections(
        np.array([box for _, _, box in items], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in items], np.float32),
        np.array([LABELS.index(label) for label, _, _ in items], np.int32),
    )
