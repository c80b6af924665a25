"""Whether two ways to run a detector find the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector

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
