"""Detections: boxes of one image; box arithmetic and greedy non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Detections:
    """Detections in one image, highest score first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the source image.
        scores: (N,) float32 in [0, 1].
        class_ids: (N,) int32, index into the model card's labels.
        ids: (N,) text, the same for one object in consecutive images, empty for an object without an id; None if
            the objects are not tracked.

    Raises:
        ValueError: The arrays do not have these shapes.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    ids: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        expected = {"boxes": (count, 4), "scores": (count,), "class_ids": (count,), "ids": (count,)}
        dtypes = {"boxes": np.float32, "scores": np.float32, "class_ids": np.int32, "ids": np.str_}
        for name in expected if self.ids is not None else ("boxes", "scores", "class_ids"):
            array: NDArray[Any] = np.asarray(getattr(self, name), dtype=dtypes[name]).view()
            if array.shape != expected[name]:
                raise ValueError(f"{name} has shape {array.shape}, expected {expected[name]}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    @cache
    def empty(cls) -> Detections:
        """Return the result for an image without objects."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def numbers(self) -> list[str]:
        """Numbers of the objects in the ids, for captions; an empty text for an object without an id."""
        return [""] * len(self) if self.ids is None else [name.rpartition("-")[2] for name in self.ids.tolist()]

    def __getitem__(self, index: NDArray[Any] | slice) -> Detections:
        """Return the detections that a boolean mask, an index array or a slice selects."""
        ids = None if self.ids is None else self.ids[index]
        return Detections(self.boxes[index], self.scores[index], self.class_ids[index], ids)


Boxes = NDArray[np.float32]
Corners = TypeVar("Corners", Boxes, NDArray[np.float64])


def scale_boxes(boxes: Boxes, width: float, height: float) -> Boxes:
    """Scale normalised boxes (..., 4) to pixels of a width x height image."""
    return boxes * np.array([width, height, width, height], np.float32)


def clip_boxes(boxes: Boxes, width: float, height: float) -> Boxes:
    """Clip boxes (..., 4) to a width x height image."""
    corners = np.array([width, height, width, height], np.float32)
    return np.minimum(np.maximum(boxes, np.float32(0)), corners)


def areas(boxes: Corners) -> Corners:
    """Return the areas (...) of boxes (..., 4)."""
    sizes: Corners = boxes[..., 2:] - boxes[..., :2]
    return sizes[..., 0] * sizes[..., 1]


def overlaps(box: Boxes, others: Boxes, iou_threshold: float) -> NDArray[np.bool_]:
    """Return which boxes have an intersection over union with one box above a threshold.

    Written as intersection > threshold * union, which needs no division and is false for two boxes
    without area. The graph computes these terms in this order and precision.

    Args:
        box: Box (4,) float32, x1 y1 x2 y2.
        others: Boxes (N, 4) float32, x1 y1 x2 y2.
        iou_threshold: Intersection over union in [0, 1].

    Returns:
        (N,) bool, true for the boxes above the threshold.
    """
    size = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0)
    intersection = size[:, 0] * size[:, 1]
    union = areas(box[None]) + areas(others) - intersection
    return np.asarray(intersection > np.float32(iou_threshold) * union)


def intersections(first: Corners, second: Corners) -> Corners:
    """Return the intersection areas (N, M) of boxes (N, 4) with boxes (M, 4), x1 y1 x2 y2."""
    left, top, right, bottom = first.T[..., None]
    width = np.minimum(right, second[:, 2]) - np.maximum(left, second[:, 0])
    height = np.minimum(bottom, second[:, 3]) - np.maximum(top, second[:, 1])
    area: Corners = np.maximum(width, 0) * np.maximum(height, 0)
    return area


def ious(first: Corners, second: Corners) -> Corners:
    """Return the intersections over union (N, M) of boxes (N, 4) with boxes (M, 4); 0 if neither has an area."""
    common = intersections(first, second)
    union = areas(first)[:, None] + areas(second) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def nms(
    boxes: Boxes, scores: NDArray[np.float32], class_ids: NDArray[np.int32], iou_threshold: float
) -> NDArray[np.bool_]:
    """Run greedy non-maximum suppression within each class: the reference for the graph's NMS.

    Takes the boxes by falling score, among equals the earlier index first, and keeps each box that no
    kept box of its class overlaps by more than the threshold. Boxes with score 0 are ignored.

    Args:
        boxes: Boxes (N, 4) float32, x1 y1 x2 y2 in any unit.
        scores: Scores (N,) float32.
        class_ids: Class ids (N,) int32.
        iou_threshold: Intersection over union in [0, 1].

    Returns:
        (N,) bool, true for the boxes that are kept.
    """
    alive = scores > 0
    keep = np.zeros(len(scores), np.bool_)
    for index in np.argsort(-scores, kind="stable"):
        if alive[index]:
            keep[index] = True
            alive &= ~((class_ids == class_ids[index]) & overlaps(boxes[index], boxes, iou_threshold))
    return keep
