"""Exports of the results: COCO JSON, CSV, KITTI and MOT challenge."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.files import atomic_file
from trt_ssd_ros.images.files import stem
from trt_ssd_ros.tools.detect.tracks import source_of
from trt_ssd_ros.tools.results import BOX_DIGITS, SCORE_DIGITS, ImageResult, read_header, read_results

KITTI_LINE = "-1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
"""Truncation, occlusion, angle, box, dimensions, location and rotation; the values for "unknown" are those of
the object development kit (cvlibs.net/datasets/kitti, readme.txt)."""

CORNER_AND_SIZE = np.array([[1, 0, -1, 0], [0, 1, 0, -1], [0, 0, 1, 0], [0, 0, 0, 1]])
"""(4, 4), x1 y1 x2 y2 @ this: left, top, width, height."""


def write_coco(log: Path, folder: Path) -> Path:
    """Write coco.json: images, categories, and annotations with a score, as pycocotools reads them.

    Ids start at 1: pycocotools treats 0 as none. A tracked object's id is the `track_id` of its annotations.
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
        for box, score, class_id, tracked in zip(
            found.boxes, found.scores, found.class_ids, _ids(found), strict=True
        ):
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
                **({} if found.ids is None else {"track_id": tracked}),
            }


def _ids(found: Detections) -> Sequence[str]:
    """Return the id of each detection; empty for an object without one."""
    return [""] * len(found) if found.ids is None else found.ids.tolist()


def _write_list(file: TextIO, items: Iterable[Mapping[str, Any]]) -> None:
    for number, item in enumerate(items):
        file.write((",\n" if number else "") + json.dumps(item))


def _text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def write_csv(log: Path, folder: Path) -> Path:
    """Write detections.csv: one row per detection, with a column of ids if the run tracked."""
    header = read_header(log)
    path = folder / "detections.csv"
    with atomic_file(path) as unfinished, _text(unfinished) as file:
        rows = csv.writer(file)
        tracked = bool(header.detector.get("track"))
        names = ("index", "image", "seconds", "class_id", "label", "score", "x1", "y1", "x2", "y2")
        rows.writerow((*names, "id") if tracked else names)
        for result in _readable(log):
            found = result.detections
            columns = (found.boxes, found.scores, found.class_ids, _ids(found))
            for box, score, class_id, name in zip(*columns, strict=True):
                corners = (round(float(corner), BOX_DIGITS) for corner in box)
                label = int(class_id) + header.first_class_id, header.labels[class_id]
                numbers = round(float(score), SCORE_DIGITS), *corners
                row = (result.index, result.name, result.seconds, *label, *numbers)
                rows.writerow((*row, name) if tracked else row)
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


def write_mot(log: Path, folder: Path) -> Path:
    """Write mot.txt, or mot/ with a file for each of several sources: objects with an id, as TrackEval reads them.

    A line is `frame,id,left,top,width,height,score,-1,-1,-1` (motchallenge.net/instructions). Frames, ids and
    pixels are counted from 1. The format has no class.
    """
    path = folder / ("mot" if any(source_of(result.name) for result in read_results(log)) else "mot.txt")
    lines: dict[str, list[str]] = {}
    for source, new in _mot_lines(log):
        lines.setdefault(source, []).extend(new)
    for source, text in (lines or {"": []}).items():
        file = path / f"{source}.txt" if source else path
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as unfinished:
            unfinished.write_text("".join(text), encoding="utf-8")
    return path


def _mot_lines(log: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the source and the lines of each image."""
    frames, numbers = Counter[str](), dict[str, int]()
    for result in read_results(log):
        source = source_of(result.name)
        frames[source] += 1
        frame = frames[source] if source else result.index + 1
        found = result.detections[np.array(_ids(result.detections), np.str_) != ""]
        places = found.boxes.astype(np.float64) @ CORNER_AND_SIZE + (1, 1, 0, 0)
        rows = zip(_ids(found), places.tolist(), found.scores.tolist(), strict=True)
        yield (
            source,
            [
                f"{frame},{numbers.setdefault(name, len(numbers) + 1)},{_hundredths(place)},{score:.6f},-1,-1,-1\n"
                for name, place, score in rows
            ],
        )


def _hundredths(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:.2f}" for number in numbers)


FORMATS: Mapping[str, Callable[[Path, Path], Path]] = {
    "coco": write_coco,
    "csv": write_csv,
    "kitti": write_kitti,
    "mot": write_mot,
}
