"""What changed between two sets of detections of the same image, or is wrong with one, and how much it matters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trt_ssd_ros.detection.agreement import match_boxes
from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.evaluate.average_precision import Truth
from trt_ssd_ros.tools.evaluate.confusion import NOTHING, compared

NOTEWORTHY = 0.05
"""Change of a score that is worth a line."""


@dataclass(frozen=True, eq=False)
class ImageChange:
    """What changed in one image.

    Attributes:
        image: Its number.
        size: How much it matters: 1 for what became something else, the score of what came or went, and the
            difference of the scores of what stayed.
        lines: What changed, in words.
    """

    image: int
    size: float
    lines: tuple[str, ...]


def change(
    image: int, before: Detections, after: Detections, labels_before: Sequence[str], labels_after: Sequence[str]
) -> ImageChange:
    """Compare what two detectors found in an image.

    Args:
        image: Its number.
        before: What the first found, at the threshold at which people look at it.
        after: What the second found.
        labels_before: Name of each class id of the first.
        labels_after: Name of each class id of the second.
    """
    size, lines = 0.0, []
    names = [labels_before[class_id] for class_id in before.class_ids]
    others = [labels_after[class_id] for class_id in after.class_ids]
    pairs = match_boxes(before.boxes, after.boxes)
    for i, j in pairs:
        old, new = float(before.scores[i]), float(after.scores[j])
        if names[i] != others[j]:
            size += 1
            lines.append(f"{names[i]} {old:.0%} became {others[j]} {new:.0%}")
        else:
            size += abs(old - new)
            if abs(old - new) >= NOTEWORTHY:
                lines.append(f"{names[i]} {old:.0%} is now {new:.0%}")
    for i in set(range(len(before))) - {i for i, _ in pairs}:
        size += float(before.scores[i])
        lines.append(f"{names[i]} {before.scores[i]:.0%} is gone")
    for j in set(range(len(after))) - {j for _, j in pairs}:
        size += float(after.scores[j])
        lines.append(f"{others[j]} {after.scores[j]:.0%} is new")
    return ImageChange(image, size, tuple(lines))


def mistakes(
    image: int, truth: Truth, found: Detections, labels: Sequence[str], annotated: Collection[str]
) -> ImageChange:
    """Compare what a detector found in an image with what is there; what is ignored there is no mistake.

    Args:
        image: Its number.
        truth: What is there.
        found: What was found, at the threshold at which people look at it.
        labels: Name of each class id, in the words of the truth.
        annotated: Labels of the annotations.
    """
    size, lines = 0.0, []
    for true, said, score in compared(truth, found, labels, annotated):
        if true == said:
            continue
        size += score or 1.0
        if true == NOTHING:
            lines.append(f"{said} {score:.0%} where nothing is")
        else:
            lines.append(f"{true} is missed" if said == NOTHING else f"{true} is taken for {said} {score:.0%}")
    return ImageChange(image, size, tuple(lines))
