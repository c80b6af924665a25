"""What import_model made of a network, and what its boxes must be, decoded in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from ssd_networks import Anatomy, grid_priors, raw_network

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime, open_session
from trt_ssd_ros.models.card import ModelCard

LAST = ("--interpolated", "last")
"""Random heads do not show the order of their prior boxes, and import_model asks for it."""


@dataclass
class Imported:
    """What import_model wrote and said."""

    card: ModelCard
    said: str
    folder: Path

    def detector(self, score_threshold: float) -> Detector:
        detector = open_onnxruntime(self.card)
        classes = (score_threshold,) * len(self.card.labels)
        detector.thresholds = Thresholds(classes, self.card.defaults.iou_threshold, 400)
        return detector


def picture(height: int, width: int) -> np.ndarray:
    """A picture (H, W, 3) of the network's own size, so that nothing is lost in the resize."""
    coarse = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def raw_heads(anatomy: Anatomy, image: np.ndarray, unit: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Run the bare network of an anatomy on a normalised image (H, W, 3)."""
    session = open_session(raw_network(anatomy, layout="NCHW", unit=unit))
    boxes, scores = session.run(None, {"image": image.transpose(2, 0, 1)[None].astype(np.float32)})
    return boxes[0].astype(np.float64), scores[0].astype(np.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def corners_of(encoded: np.ndarray, priors: np.ndarray, order: str) -> np.ndarray:
    """Decode boxes with variances .1 .1 .2 .2 to x1 y1 x2 y2."""
    x, y, w, h = (encoded[:, order.index(letter)] for letter in "xywh")
    centre = np.stack([x, y], 1) * 0.1 * priors[:, 2:] + priors[:, :2]
    size = np.exp(np.stack([w, h], 1) * 0.2) * priors[:, 2:]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def iou(box: np.ndarray, other: np.ndarray) -> float:
    size = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    area = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
    return size.prod() / (area - size.prod())


def greedy(corners: np.ndarray, scores: np.ndarray, threshold: float, iou_threshold: float) -> Detections:
    """Return what greedy NMS within each class leaves in the image, best first, normalised and clipped."""
    kept: list[tuple[int, int]] = []
    for box, label in sorted(np.argwhere(scores >= threshold).tolist(), key=lambda at: -scores[tuple(at)]):
        if not any(same == label and iou(corners[box], corners[other]) > iou_threshold for other, same in kept):
            kept.append((box, label))
    boxes, class_ids = np.array(kept, int).reshape(-1, 2).T
    clipped = corners[boxes].clip(0, 1)
    inside = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    return Detections(clipped, scores[boxes, class_ids], class_ids)[inside]


def threshold_for(scores: np.ndarray, count: int = 60) -> float:
    """Return a threshold halfway between two scores, that `count` of them pass."""
    best = np.sort(scores, axis=None)[::-1]
    return float((best[count - 1] + best[count]) / 2)


def assert_finds_boxes_of(
    anatomy: Anatomy, imported: Imported, convert: Callable[[np.ndarray], np.ndarray]
) -> None:
    """What an anatomy's heads find, with boxes x y w h around its grid of prior boxes; see assert_finds."""
    image = picture(anatomy.side, anatomy.side)
    encoded, logits = raw_heads(anatomy, image / 127.5 - 1)
    assert_finds(imported, corners_of(encoded, grid_priors(anatomy), "xywh"), convert(logits)[:, 1:], image)


def assert_finds(imported: Imported, corners: np.ndarray, scores: np.ndarray, image: np.ndarray) -> None:
    """Boxes within 1e-4 of the image and scores within 1e-5, the same classes in the same order."""
    threshold = threshold_for(scores)
    expected = greedy(corners, scores, threshold, imported.card.defaults.iou_threshold)
    found = imported.detector(threshold).detect(image, "rgb")
    height, width = image.shape[:2]
    assert len(expected) > 5
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.boxes / np.tile([width, height], 2), expected.boxes, rtol=0, atol=1e-4)
