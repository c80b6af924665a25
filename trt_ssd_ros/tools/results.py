"""Results as JSON lines: what a detector found, image by image, written while it runs and read again to go on.

The first line says what made the rest: {"detector": {...}, "labels": [...]}. Each other line is one image:
{"index", "image", "width", "height", "seconds", "detections": [{"class_id", "label", "score", "box"}]}, its boxes
x1 y1 x2 y2 in pixels; or {"index", "image", "unreadable": why}.
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
    """A file of results is damaged or does not fit: says what was found and what was expected."""


@dataclass(frozen=True)
class ResultHeader:
    """Settings that made the results.

    Attributes:
        detector: Settings that change what is found, by name.
        labels: Name of each class id.
    """

    detector: Mapping[str, Any]
    labels: tuple[str, ...]

    def line(self) -> str:
        """Return the first line of a file of results."""
        return json.dumps({"detector": dict(self.detector), "labels": list(self.labels)})


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Detections in one image.

    Attributes:
        index: Its number in the input.
        name: Its name in the input.
        width: Of the image, in pixels; 0 if it could not be read.
        height: Likewise.
        seconds: Its time in a video or a recording.
        detections: What was found.
        unreadable: Why it could not be read; empty if it could.
    """

    index: int
    name: str
    width: int
    height: int
    seconds: float | None
    detections: Detections
    unreadable: str = ""

    def line(self, labels: Sequence[str]) -> str:
        """Return its line."""
        if self.unreadable:
            return json.dumps({"index": self.index, "image": self.name, "unreadable": self.unreadable})
        found = self.detections
        return json.dumps(
            {
                "index": self.index,
                "image": self.name,
                "width": self.width,
                "height": self.height,
                "seconds": self.seconds,
                "detections": [
                    {
                        "class_id": int(class_id),
                        "label": labels[class_id],
                        "score": round(float(score), SCORE_DIGITS),
                        "box": [round(float(corner), BOX_DIGITS) for corner in box],
                    }
                    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True)
                ],
            }
        )

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], classes: int) -> ImageResult:
        """Return the image of a parsed line, whose class ids lie below `classes`.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or wrong.
        """
        if "unreadable" in fields:
            return cls(fields["index"], fields["image"], 0, 0, None, Detections.empty(), fields["unreadable"])
        found = fields["detections"]
        detections = Detections(
            np.array([item["box"] for item in found], np.float32).reshape(-1, 4),
            np.array([item["score"] for item in found], np.float32),
            np.array([item["class_id"] for item in found], np.int32),
        )
        if not all(0 <= class_id < classes for class_id in detections.class_ids):
            raise ValueError("class_id")
        size = int(fields["width"]), int(fields["height"])
        return cls(int(fields["index"]), str(fields["image"]), *size, fields["seconds"], detections)


def as_written(detections: Detections) -> Detections:
    """Return detections with the digits that a line has, so that what is drawn from it later is the same."""
    boxes = np.round(detections.boxes.astype(np.float64), BOX_DIGITS)
    scores = np.round(detections.scores.astype(np.float64), SCORE_DIGITS)
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), detections.class_ids)


def read_header(path: Path) -> ResultHeader:
    """Read the first line of a file of results.

    Raises:
        ResultError: It is none.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        fields = _parsed(file.readline())
    try:
        return ResultHeader(dict(fields["detector"]), tuple(fields["labels"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path} does not begin with what made it: expected results.jsonl of detect") from error


def read_results(path: Path) -> Iterator[ImageResult]:
    """Read the images of a file of results, one at a time.

    Raises:
        ResultError: A line is damaged; names it.
        OSError: The file cannot be read.
    """
    classes = len(read_header(path).labels)
    with path.open("rb") as file:
        next(file, None)
        for number, line in enumerate(file, 2):
            try:
                yield ImageResult.from_fields(_parsed(line), classes)
            except (KeyError, TypeError, ValueError) as error:
                raise ResultError(f"{path}, line {number}: found {line[:60]!r}, expected an image") from error


def whole_lines(path: Path, multiple: int) -> tuple[int, int]:
    """Return how many images stand before what a killed process left unfinished, and the bytes up to there.

    Args:
        path: A file of results.
        multiple: Images that were detected in together; only whole groups count, so that those after
            them are the same again.

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
