"""Agreement of detectors: tolerances between precisions, box matching, and a check of an engine's NMS."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes, Detections, ious, nms
from trt_ssd_ros.detection.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.detection.engine import InferenceEngine
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.models.card import ModelCard

REFERENCE_SIDE = 1280


@dataclass(frozen=True)
class Tolerance:
    """Largest difference between two detections of one object.

    Attributes:
        score: Largest score difference.
        box: Largest difference of a coordinate in pixels; grows in proportion in images larger than 1280 pixels.
    """

    score: float
    box: float


SINGLE = Tolerance(score=1e-3, box=0.5)
HALF = Tolerance(score=2e-2, box=4.0)
"""In 85 photos, fp16 changes scores above 0.05 of ssdlite_mobilenet_v2_coco by up to 0.014, and its mAP by 0.0001;
the mAP of ssd_mobilenet_v2_oidv4 by 0.002 (docs/performance.md).
"""
INT8 = Tolerance(score=5e-2, box=8.0)
"""Fused operators round elsewhere: ONNX Runtime with and without its fusions differs by 0.022."""
TOLERANCES = {"fp32": SINGLE, "fp16": HALF, "int8": INT8}


def disagreements(
    found: Detections, expected: Detections, tolerance: Tolerance, score_threshold: float, longer_side: int
) -> list[str]:
    """Return the detections of one image without a match as text; empty if the detectors agree.

    Two detections match if their classes are equal and their scores and boxes differ within the tolerance. If a
    score is within the tolerance of the threshold, its match may be missing, because it may be just below.

    Args:
        found: Detections to check.
        expected: Detections of the reference detector.
        tolerance: Largest difference between matches.
        score_threshold: Lowest score that both detectors report.
        longer_side: Greater of the image's height and width in pixels.
    """
    slack = tolerance.box * max(1.0, longer_side / REFERENCE_SIDE)
    left = list(range(len(expected)))
    problems = []
    for index in range(len(found)):
        matches = (other for other in left if _match(found, index, expected, other, tolerance.score, slack))
        match = next(matches, None)
        if match is not None:
            left.remove(match)
        elif found.scores[index] > score_threshold + tolerance.score:
            problems.append(f"unexpected: {_describe(found, index)}")
    missing = [other for other in left if expected.scores[other] > score_threshold + tolerance.score]
    return problems + [f"missing: {_describe(expected, other)}" for other in missing]


def half_precision_problems(half: Detector, single: Detector, samples: Sequence[NDArray[np.uint8]]) -> list[str]:
    """Return the reasons to reject fp16: detections that differ from fp32, or no detections to compare.

    Args:
        half: Detector of a card in fp16.
        single: Detector of this card in fp32.
        samples: Images (H, W, 3) bgr to compare detections in.
    """
    threshold = single.card.defaults.score_threshold
    problems, count = [], 0
    for image in samples:
        expected, found = single.detect(image), half.detect(image)
        count += len(expected)
        problems += disagreements(found, expected, HALF, threshold, max(image.shape[:2]))
    return problems if count else ["fp32 finds nothing in the samples, so there is nothing to compare"]


def _match(
    found: Detections, index: int, expected: Detections, other: int, score_slack: float, box_slack: float
) -> bool:
    return bool(
        found.class_ids[index] == expected.class_ids[other]
        and abs(found.scores[index] - expected.scores[other]) <= score_slack
        and np.abs(found.boxes[index] - expected.boxes[other]).max() <= box_slack
    )


def _describe(detections: Detections, index: int) -> str:
    box = ", ".join(f"{corner:.1f}" for corner in detections.boxes[index])
    return f"column {detections.class_ids[index]}, score {detections.scores[index]:.4f}, box {box}"


LOGGER = logging.getLogger(__name__)
TOLERATED = 0.05
"""Largest fraction of candidates that may differ: an overlap at the threshold may be rounded either way."""


def has_greedy_nms(engine: InferenceEngine, card: ModelCard, shape: tuple[int, int, int, int]) -> bool:
    """Compare an engine's NMS with greedy NMS on the engine's candidates in noise, at a score threshold of 0.

    Args:
        engine: Engine that runs the card's graph.
        card: Model card that the graph was composed from.
        shape: Shape of the noise, (N, H, W, 3); all N images are compared.

    Returns:
        False, with a warning, if the engine keeps other boxes. True also if the engine's NMS settled in no image,
        because the detector then runs NMS on the host.
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
        LOGGER.warning("NMS of %s is wrong for %d of %d boxes: NMS runs on the CPU", engine.name, wrong, total)
    return bool(right)


MATCH_IOU = 0.5
"""Least intersection over union of two boxes that match."""


def match_boxes(first: Boxes, second: Boxes) -> list[tuple[int, int]]:
    """Match boxes by falling intersection over union, each box at most once.

    Args:
        first: Boxes (N, 4), x1 y1 x2 y2.
        second: Boxes (M, 4), x1 y1 x2 y2.

    Returns:
        Pairs of indices into `first` and `second`.
    """
    iou = ious(first, second)
    pairs, left, right = [], set[int](), set[int]()
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        i, j = (int(index) for index in np.unravel_index(flat, iou.shape))
        if iou[i, j] < MATCH_IOU:
            break
        if i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs


class DetectionMatches:
    """Counts of two detectors' detections and of the matches, which have one class and overlap by half."""

    def __init__(self) -> None:
        self.before = 0
        self.after = 0
        self._score_changes: list[float] = []

    def add(self, before: Detections, after: Detections) -> None:
        """Add both detectors' detections in one image."""
        self.before += len(before)
        self.after += len(after)
        for i, j in match_boxes(before.boxes, after.boxes):
            if before.class_ids[i] == after.class_ids[j]:
                self._score_changes.append(abs(float(before.scores[i] - after.scores[j])))

    @property
    def matched(self) -> int:
        """Number of detections that both detectors found."""
        return len(self._score_changes)

    def __str__(self) -> str:
        if not self.matched:
            return f"0 of {self.before} matched, {self.after} new"
        change = statistics.median(self._score_changes)
        counts = f"{self.matched} of {self.before} matched, {self.after - self.matched} new"
        return f"{counts}; scores differ by {change:.3f} (median)"
