"""ResultsRun: the results of a detector that ran before, to be evaluated."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage
from trt_ssd_ros.tools.evaluate.average_precision import MAX_DETECTIONS
from trt_ssd_ros.tools.evaluate.runs import truncation_warning
from trt_ssd_ros.tools.results import ResultError, read_header, read_results


class ResultsRun:
    """What `detect` found before: its results.jsonl or coco.json.

    Args:
        name: For people.
        path: Of the file.

    Raises:
        ResultError: It is neither, or damaged.
        OSError: It cannot be read.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._what = "results of an unknown detector"
        self._threshold, self._most = 0.0, math.inf
        if path.suffix == ".jsonl":
            header = read_header(path)
            self.labels = header.labels
            self._what = ", ".join(str(header.detector.get(key, "?")) for key in ("model", "engine", "precision"))
            self._threshold = _number(header.detector.get("score_threshold"), 0.0)
            self._most = _number(header.detector.get("max_detections"), math.inf)
            self._found = {item.name: item.detections for item in read_results(path) if not item.unreadable}
        else:
            self.labels, self._found = _read_coco_results(path)
            self._threshold = min((float(d.scores.min()) for d in self._found.values() if len(d)), default=0.0)
        self._by_base = Counter(PurePath(name).name for name in self._found)

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """Require a result for each image."""
        missing = [image.name for image in images if self._key(image) is None]
        if missing:
            raise ResultError(
                f"{self._path} has no result for {len(missing)} of {len(images)} images, e.g. {missing[0]}: "
                "was detect run on the folder of --images, to its end?"
            )

    def _key(self, image: AnnotatedImage) -> str | None:
        if image.name in self._found:
            return image.name
        base = PurePath(image.name).name
        return base if base in self._found and self._by_base[base] == 1 else None

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Look it up; see `EvaluatedRun.detect`."""
        del pixels
        key = self._key(image)
        return Detections.empty() if key is None else self._found[key]

    def described(self) -> str:
        """Return what made the results, and where they are."""
        return f"{self._what}, from {self._path}"

    def warnings(self) -> list[str]:
        """Return what makes its figures doubtful."""
        said = truncation_warning(self._threshold)
        if self._most < MAX_DETECTIONS:
            said.append(f"at most {self._most:g} detections of an image are there, of {MAX_DETECTIONS} that count")
        return said

    def close(self) -> None:
        """Nothing to give back."""


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) else otherwise


def _read_coco_results(path: Path) -> tuple[tuple[str, ...], dict[str, Detections]]:
    try:
        fields = json.loads(path.read_bytes())
        numbers = {item["id"]: number for number, item in enumerate(fields["categories"])}
        labels = tuple(str(item["name"]) for item in fields["categories"])
        by_image = defaultdict(list)
        for item in fields["annotations"]:
            by_image[item["image_id"]].append(item)
        found = {str(item["file_name"]): _detections(by_image[item["id"]], numbers) for item in fields["images"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path} holds no results: expected results.jsonl or coco.json of detect") from error
    return labels, found


def _detections(items: Sequence[Mapping[str, Any]], numbers: Mapping[Any, int]) -> Detections:
    boxes = np.array([item["bbox"] for item in items], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([item["score"] for item in items], np.float32)
    found = Detections(boxes, scores, np.array([numbers[item["category_id"]] for item in items], np.int32))
    return found[np.argsort(-scores, kind="stable")]
