"""Agreement of detectors: tolerances between precisions, boxes of the same object, NMS as greedy NMS."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes, Detections, areas, nms
from trt_ssd_ros.detection.detector import CHANNEL_ORDERS, Detector, Thresholds
from trt_ssd_ros.detection.engine import InferenceEngine
from trt_ssd_ros.models.card import ModelCard

REFERENCE_SIDE = 1280


@dataclass(frozen=True)
class Tolerance:
    """How far two detections of the same object may be apart.

    Attributes:
        score: Greatest difference of their scores.
        box: Greatest difference of a coordinate in pixels, in proportion for images larger than 1280 pixels.
    """

    score: float
    box: float


SINGLE = Tolerance(score=1e-3, box=0.5)
HALF = Tolerance(score=5e-3, box=4.0)
INT8 = Tolerance(score=5e-2, box=8.0)
"""Who fuses other operators rounds in other places: ONNX Runtime with and without its fusions is 0.022 apart."""
TOLERANCES = {"fp32": SINGLE, "fp16": HALF, "int8": INT8}


def disagreements(
    found: Detections, expected: Detections, tolerance: Tolerance, score_threshold: float, longer_side: int
) -> list[str]:
    """Return what one detector found in an image and the other did not, as text; empty if they agree.

    Each detection needs its like in the other's: of the same class, with a score and a box within the tolerance.
    One whose score is within the tolerance of the threshold may be missing: the other's may be just below.

    Args:
        found: What the detector in question found.
        expected: What it is held against.
        tolerance: How far apart likes may be.
        score_threshold: Lowest score that both report.
        longer_side: The greater of the image's height and width, in pixels.
    """
    slack = tolerance.box * max(1.0, longer_side / REFERENCE_SIDE)
    left = list(range(len(expected)))
    problems = []
    for index in range(len(found)):
        likes = (other for other in left if _alike(found, index, expected, other, tolerance.score, slack))
        like = next(likes, None)
        if like is not None:
            left.remove(like)
        elif found.scores[index] > score_threshold + tolerance.score:
            problems.append(f"only here: {_describe(found, index)}")
    missing = [other for other in left if expected.scores[other] > score_threshold + tolerance.score]
    return problems + [f"missing: {_describe(expected, other)}" for other in missing]


def half_precision_problems(half: Detector, single: Detector, samples: Sequence[NDArray[np.uint8]]) -> list[str]:
    """Return why fp16 is not to be trusted: what it finds otherwise, or that there was nothing to find.

    Args:
        half: A card's detector in fp16.
        single: The same in fp32.
        samples: Images (H, W, 3) bgr to compare detections in.
    """
    threshold = single.card.defaults.score_threshold
    problems, count = [], 0
    for image in samples:
        expected, found = single.detect(image), half.detect(image)
        count += len(expected)
        problems += disagreements(found, expected, HALF, threshold, max(image.shape[:2]))
    return problems if count else ["fp32 finds nothing in the samples, so there is nothing to compare"]


def _alike(
    found: Detections, index: int, expected: Detections, other: int, score_slack: float, box_slack: float
) -> bool:
    return bool(
        found.class_ids[index] == expected.class_ids[other]
        and abs(found.scores[index] - expected.scores[other]) <= score_slack
        and np.abs(found.boxes[index] - expected.boxes[other]).max() <= box_slack
    )


def _describe(detections: Detections, index: int) -> str:
    box = ", ".join(f"{corner:.1f}" for corner in detections.boxes[index])
    return f"class {detections.class_ids[index]}, score {detections.scores[index]:.4f}, box {box}"


LOGGER = logging.getLogger(__name__)
TOLERATED = 0.05
"""Part of the candidates that may be kept otherwise: an overlap at the threshold may be rounded either way."""


def has_greedy_nms(engine: InferenceEngine, card: ModelCard, shape: tuple[int, int, int, int]) -> bool:
    """Hold an engine's NMS against greedy NMS on its own candidates in noise, every one of which is let in.

    Args:
        engine: Runs the card's graph.
        card: What the graph was composed of.
        shape: That of the noise, (N, H, W, 3); every image of it is looked at.

    Returns:
        False if it keeps other boxes, which a warning says. True as well where nothing has settled, which is
        the detector's to finish anyway.
    """
    thresholds = Thresholds((0.0,) * len(card.labels), card.defaults.iou_threshold, 1)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    outputs = engine.run({"image": noise, "channel_order": CHANNEL_ORDERS["rgb"], **thresholds.tensors})
    wrong = total = 0
    for image in np.flatnonzero(outputs["settled"]):
        boxes, scores, class_ids, kept = (
            outputs[name][image] for name in ("boxes", "scores", "class_ids", "keep")
        )
        greedy = nms(boxes, scores, class_ids, card.overlap_limit(thresholds.iou))
        wrong += np.count_nonzero(greedy != kept)
        total += np.count_nonzero(scores)
    right = wrong <= max(1, TOLERATED * total)
    if not right:
        LOGGER.warning("%s keeps %d wrong boxes of %d: NMS runs on the CPU", engine.name, wrong, total)
    return bool(right)


SAME = 0.5
"""Intersection over union from which two boxes are of the same thing."""


def intersections(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """Return the areas (N, M) that each of N boxes has in common with each of M."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sizes: NDArray[np.float32] = np.maximum(high - low, 0)
    return sizes[..., 0] * sizes[..., 1]


def match_boxes(first: Boxes, second: Boxes) -> list[tuple[int, int]]:
    """Pair boxes of the same thing, those that overlap most first, each in one pair at most.

    Args:
        first: (N, 4) x1 y1 x2 y2.
        second: (M, 4) x1 y1 x2 y2.

    Returns:
        Pairs of indices into the two.
    """
    common = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None] - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    pairs, left, right = [], set[int](), set[int]()
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        i, j = (int(index) for index in np.unravel_index(flat, iou.shape))
        if iou[i, j] < SAME:
            break
        if i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs


class FoundAgain:
    """Counts over images; boxes are the same if they overlap by half and are of one class."""

    def __init__(self) -> None:
        self.before = 0
        self.after = 0
        self._score_changes: list[float] = []

    def add(self, before: Detections, after: Detections) -> None:
        """Take what both found in an image."""
        self.before += len(before)
        self.after += len(after)
        for i, j in match_boxes(before.boxes, after.boxes):
            if before.class_ids[i] == after.class_ids[j]:
                self._score_changes.append(abs(float(before.scores[i] - after.scores[j])))

    @property
    def again(self) -> int:
        """How many both found."""
        return len(self._score_changes)

    def __str__(self) -> str:
        if not self.again:
            return f"0 of {self.before} found again, {self.after} others"
        change = statistics.median(self._score_changes)
        others = self.after - self.again
        found = f"{self.again} of {self.before} found again, {others} others"
        return f"{found}; scores differ by {change:.3f} (median)"
