"""Average precision by pycocotools, class by class, so that memory holds one class at a time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.errors import load_library
from trt_ssd_ros.tools.evaluate.annotations import TrueBox

MAX_DETECTIONS = 100
IOU_75 = 5
"""Index of .75 in pycocotools' IoU thresholds .5, .55, ..., .95."""
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Smallest and largest area of an object in square pixels, by COCO's name of its size
(https://cocodataset.org/#detection-eval)."""
RECALLS = np.linspace(0, 1, 101)
"""Recall values at which pycocotools samples precision."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Ground truth of one image.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels.
        annotations: Annotation of each box.
    """

    boxes: NDArray[np.float32]
    annotations: tuple[TrueBox, ...]


@dataclass(frozen=True, eq=False)
class ClassPrecision:
    """Precision and recall of one class.

    Attributes:
        objects: Number of annotated objects.
        ap: Average precision over IoU .5 to .95.
        ap50: Average precision at IoU .5.
        ap75: Average precision at IoU .75.
        recall50: Recall at IoU .5 and the lowest score.
        precisions50: Precision (101,) at IoU .5, one value per element of RECALLS.
        by_size: Average precision over IoU .5 to .95 of the objects of each of SIZES that the class has.
    """

    objects: int
    ap: float
    ap50: float
    ap75: float
    recall50: float
    precisions50: NDArray[np.float64]
    by_size: Mapping[str, float]


@dataclass(frozen=True)
class Precision:
    """Precision and recall of a detector.

    Attributes:
        classes: Precision and recall by label, for labels with at least one object.
    """

    classes: Mapping[str, ClassPrecision]

    @property
    def map(self) -> float | None:
        """Mean average precision over IoU .5 to .95; None without objects."""
        return self._mean("ap")

    @property
    def map50(self) -> float | None:
        """Mean average precision at IoU .5; None without objects."""
        return self._mean("ap50")

    @property
    def map75(self) -> float | None:
        """Mean average precision at IoU .75; None without objects."""
        return self._mean("ap75")

    def map_of(self, size: str) -> float | None:
        """Mean average precision over IoU .5 to .95 of the objects of a size; None without such objects."""
        found = [item.by_size[size] for item in self.classes.values() if size in item.by_size]
        return float(np.mean(found)) if found else None

    def _mean(self, name: str) -> float | None:
        return float(np.mean([getattr(item, name) for item in self.classes.values()])) if self.classes else None


def load_pycocotools() -> Any:
    """Return pycocotools' modules coco and cocoeval.

    Raises:
        RuntimeError: pycocotools is not installed.
    """
    return tuple(load_library(f"pycocotools.{name}", "pycocotools", "evaluating") for name in ("coco", "cocoeval"))


def average_precision(
    truths: Sequence[GroundTruth], found: Sequence[Detections], labels: Iterable[str], class_ids: Mapping[str, int]
) -> Precision:
    """Compute average precision from the ground truth and the detections.

    Args:
        truths: Ground truth of each image.
        found: Detections in each image.
        labels: Labels to score.
        class_ids: Class id of the detector, by label.

    Raises:
        RuntimeError: pycocotools is not installed.
    """
    scored = ((label, _class_precision(truths, found, label, class_ids[label])) for label in labels)
    return Precision({label: item for label, item in scored if item is not None})


def _class_precision(
    truths: Sequence[GroundTruth], found: Sequence[Detections], label: str, class_id: int
) -> ClassPrecision | None:
    true = _index(len(truths), list(_true_objects(truths, label)))
    objects = sum(not item["iscrowd"] for item in true.dataset["annotations"])
    if not objects:
        return None
    _, cocoeval = load_pycocotools()
    with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        scoring = cocoeval.COCOeval(true, _index(len(truths), list(_found_objects(found, class_id))), "bbox")
        scoring.params.areaRng = [[0, 1e10], *map(list, SIZES.values())]
        scoring.params.areaRngLbl = ["all", *SIZES]
        scoring.params.maxDets = [MAX_DETECTIONS]
        scoring.evaluate()
        scoring.accumulate()
    precisions, *sized = np.moveaxis(scoring.eval["precision"][:, :, 0, :, 0], -1, 0)
    recall = float(scoring.eval["recall"][0, 0, 0, 0])
    ap, ap50, ap75 = (float(part.mean()) for part in (precisions, precisions[0], precisions[IOU_75]))
    by_size = {
        name: float(part.mean())
        for name, part in zip(SIZES, sized, strict=True)
        if (part >= 0).all()  # pycocotools writes -1 if the class has no object of the size
    }
    return ClassPrecision(objects, ap, ap50, ap75, recall, precisions[0], by_size)


def _index(images: int, annotations: list[dict[str, Any]]) -> Any:
    """Return a COCO data set with one category."""
    coco, _ = load_pycocotools()
    data = coco.COCO()
    data.dataset = {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    with redirect_stdout(io.StringIO()):
        data.createIndex()
    return data


def _true_objects(truths: Sequence[GroundTruth], label: str) -> Iterator[dict[str, Any]]:
    number = 0
    for image, truth in enumerate(truths):
        for box, annotation in zip(truth.boxes, truth.annotations, strict=True):
            if annotation.label in (label, ""):
                number += 1  # pycocotools treats id 0 as none
                yield _object(number, image, box) | {"iscrowd": int(annotation.ignored)}


def _found_objects(found: Sequence[Detections], class_id: int) -> Iterator[dict[str, Any]]:
    number = 0
    for image, detections in enumerate(found):
        chosen = detections[detections.class_ids == class_id]
        for box, score in zip(chosen.boxes, chosen.scores, strict=True):
            number += 1
            yield _object(number, image, box) | {"score": float(score)}


def _object(number: int, image: int, box: NDArray[np.float32]) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(corner) for corner in box)
    size = [x1, y1, x2 - x1, y2 - y1]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": size,
        "area": size[2] * size[3],
        "iscrowd": 0,
    }
