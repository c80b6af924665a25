"""Detections as JSON lines, written image by image during a run and read again to resume it.

The first line holds the settings of the run: {"detector": {...}, "labels": [...]}. Each other line is one image:
{"index", "image", "width", "height", "seconds", "detections": [{"class_id", "label", "score", "box"}]}, with
boxes as x1 y1 x2 y2 in pixels, and with an "id" that is empty for an object without one, if the run tracks; or
{"index", "image", "unreadable": reason}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trt_ssd_ros.detection.detections import Detections

BOX_DIGITS, SCORE_DIGITS = 3, 6


class ResultError(ValueError):
    """Damaged results file, or one that does not match the run."""


@dataclass(frozen=True)
class ResultHeader:
    """Settings of the run that wrote a results file.

    Attributes:
        detector: Settings that affect detections, by name.
        labels: Class names, indexed by class id; empty for a column without a class.
        first_class_id: Class id of the first label in files, as in LabelInfo.
    """

    detector: Mapping[str, Any]
    labels: tuple[str, ...]
    first_class_id: int = 0

    def line(self) -> str:
        """Return the first line of a results file."""
        fields = {"detector": dict(self.detector), "labels": list(self.labels)}
        return json.dumps({**fields, "first_class_id": self.first_class_id})


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Detections in one image.

    Attributes:
        index: Image number in the input, from 0.
        name: Image name in the input.
        width: Image width in pixels; 0 if the image is unreadable.
        height: Image height in pixels; 0 if the image is unreadable.
        seconds: Time in a video or recording, in seconds; None for other inputs.
        detections: Detections in the image.
        unreadable: Reason why the image is unreadable; empty if it is readable.
    """

    index: int
    name: str
    width: int
    height: int
    seconds: float | None
    detections: Detections
    unreadable: str = ""

    def line(self, labels: Sequence[str], first_class_id: int = 0) -> str:
        """Return the image as a line of JSON, with the class names and ids of a header."""
        if self.unreadable:
            return json.dumps({"index": self.index, "image": self.name, "unreadable": self.unreadable})
        found = self.detections
        ids = [{}] * len(found) if found.ids is None else [{"id": name} for name in found.ids.tolist()]
        return json.dumps(
            {
                "index": self.index,
                "image": self.name,
                "width": self.width,
                "height": self.height,
                "seconds": self.seconds,
                "detections": [
                    {
                        "class_id": int(class_id) + first_class_id,
                        "label": labels[class_id],
                        "score": round(float(score), SCORE_DIGITS),
                        "box": [round(float(corner), BOX_DIGITS) for corner in box],
                        **tracked,
                    }
                    for box, score, class_id, tracked in zip(
                        found.boxes, found.scores, found.class_ids, ids, strict=True
                    )
                ],
            }
        )

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], classes: int, first_class_id: int = 0) -> ImageResult:
        """Return the image of a parsed line, with `classes` class ids from `first_class_id` on.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or wrong.
        """
        if "unreadable" in fields:
            return cls(fields["index"], fields["image"], 0, 0, None, Detections.empty(), fields["unreadable"])
        found = fields["detections"]
        detections = Detections(
            np.array([item["box"] for item in found], np.float32).reshape(-1, 4),
            np.array([item["score"] for item in found], np.float32),
            np.array([item["class_id"] - first_class_id for item in found], np.int32),
            np.array([item["id"] for item in found], np.str_) if found and "id" in found[0] else None,
        )
        if not all(0 <= class_id < classes for class_id in detections.class_ids):
            raise ValueError("class_id")
        size = int(fields["width"]), int(fields["height"])
        return cls(int(fields["index"]), str(fields["image"]), *size, fields["seconds"], detections)


def rounded(detections: Detections) -> Detections:
    """Round detections like a line of JSON, so that a resumed run draws the same boxes."""
    boxes = np.round(detections.boxes.astype(np.float64), BOX_DIGITS)
    scores = np.round(detections.scores.astype(np.float64), SCORE_DIGITS)
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), detections.class_ids, detections.ids)


def read_header(path: Path) -> ResultHeader:
    """Read the first line of a results file.

    Raises:
        ResultError: The first line is no header.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        fields = _parsed(file.readline())
    try:
        detector, labels = dict(fields["detector"]), tuple(fields["labels"])
        return ResultHeader(detector, labels, int(fields.get("first_class_id", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: line 1 is no header, expected a results.jsonl that detect wrote") from error


def read_results(path: Path) -> Iterator[ImageResult]:
    """Read the images of a results file, one at a time.

    Raises:
        ResultError: A line is damaged; the message names it.
        OSError: The file cannot be read.
    """
    header = read_header(path)
    with path.open("rb") as file:
        next(file, None)
        for number, line in enumerate(file, 2):
            try:
                yield ImageResult.from_fields(_parsed(line), len(header.labels), header.first_class_id)
            except (KeyError, TypeError, ValueError) as error:
                raise ResultError(
                    f"{path}, line {number}: found {line[:60]!r}, expected the JSON of an image"
                ) from error


def completed_images(path: Path, multiple: int) -> tuple[int, int]:
    """Return the number of images, and of bytes up to their end, that a killed run has completed.

    Args:
        path: Results file.
        multiple: Batch size in images; only full batches count, so that a resumed run has the same batches.

    Raises:
        OSError: The file cannot be read.
    """
    ends = [0]
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not isinstance(_parsed(line), dict):
                break
            ends.append(ends[-1] + len(line))
    images = max(0, len(ends) - 2) // multiple * multiple
    return images, ends[min(images + 1, len(ends) - 1)]


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
