"""Confusion matrix, and differences of two detectors, or of detector and ground truth, in one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.agreement import MATCH_IOU, match_boxes
from trt_ssd_ros.detection.detections import Detections, areas, intersections
from trt_ssd_ros.tools.evaluate.average_precision import GroundTruth

BACKGROUND = ""
"""Label of the background: detected label of a missed object, true label of a false positive."""


def match_labels(
    truth: GroundTruth, found: Detections, labels: Sequence[str], annotated: Collection[str]
) -> Iterator[tuple[str, str, float]]:
    """Match objects and detections of one image; yield true label, detected label and score of each pair.

    A missed object has the detected label BACKGROUND and the score 0. An unmatched detection has the true
    label BACKGROUND; it is skipped if it lies in an ignored region or its class is not annotated.

    Args:
        truth: Ground truth of the image.
        found: Detections in the image.
        labels: Class names as the annotations spell them, indexed by class id.
        annotated: Labels of the annotations.
    """
    ignored = np.array([item.ignored for item in truth.annotations], bool)
    objects = [item.label for item in truth.annotations if not item.ignored]
    names = [labels[class_id] for class_id in found.class_ids]
    pairs = match_boxes(truth.boxes[~ignored], found.boxes)
    yield from ((objects[i], names[j], float(found.scores[j])) for i, j in pairs)
    matched, used = {i for i, _ in pairs}, {j for _, j in pairs}
    yield from ((label, BACKGROUND, 0.0) for i, label in enumerate(objects) if i not in matched)
    inside = intersections(found.boxes, truth.boxes[ignored]) >= MATCH_IOU * areas(found.boxes)[:, None]
    for j, name in enumerate(names):
        if j not in used and name in annotated and not inside[j].any():
            yield BACKGROUND, name, float(found.scores[j])


class ConfusionMatrix:
    """Confusion matrix at one score threshold.

    Args:
        labels: Class names as the annotations spell them, indexed by class id.
        annotated: Labels of the annotations.
        threshold: Lowest score that counts.

    Attributes:
        counts: Number of pairs by (true label, detected label).
    """

    def __init__(self, labels: Sequence[str], annotated: Collection[str], threshold: float) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._labels, self._annotated = labels, annotated
        self._threshold = threshold

    def add(self, truth: GroundTruth, found: Detections) -> None:
        """Add the pairs of one image."""
        found = found[found.scores >= self._threshold]
        pairs = match_labels(truth, found, self._labels, self._annotated)
        self.counts.update((true, detected) for true, detected, _ in pairs)

    def labels(self) -> list[str]:
        """Return the occurring labels except BACKGROUND: the most confused first, then the most frequent."""
        confused, occurring = Counter[str](), Counter[str]()
        for (true, detected), count in self.counts.items():
            occurring.update({true: count, detected: count})
            if BACKGROUND not in (true, detected) and true != detected:
                confused.update({true: count, detected: count})
        named = (label for label in occurring if label != BACKGROUND)
        return sorted(named, key=lambda label: (-confused[label], -occurring[label], label))

    def table(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return counts (N, N), rows true, columns detected: `labels`, other labels if any, BACKGROUND."""
        size = len(labels) + 1 + (len(self.labels()) > len(labels))
        places = {**{label: number for number, label in enumerate(labels)}, BACKGROUND: size - 1}
        table = np.zeros((size, size), np.int64)
        for (true, detected), count in self.counts.items():
            table[places.get(true, len(labels)), places.get(detected, len(labels))] += count
        return table


MIN_SCORE_CHANGE = 0.05
"""Smallest score change that is listed."""


@dataclass(frozen=True, eq=False)
class ImageChange:
    """Differences in one image.

    Attributes:
        image: Image number.
        size: Sum over boxes: 1 for a changed label, the score of a new or missing box, else the score change.
        lines: Differences as text.
    """

    image: int
    size: float
    lines: tuple[str, ...]


def change(
    image: int, before: Detections, after: Detections, labels_before: Sequence[str], labels_after: Sequence[str]
) -> ImageChange:
    """Compare the detections of two detectors in an image.

    Args:
        image: Image number.
        before: Detections of the first detector, from the display threshold on.
        after: Detections of the second detector, from the display threshold on.
        labels_before: Class names of the first detector, indexed by class id.
        labels_after: Class names of the second detector, indexed by class id.
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
            if abs(old - new) >= MIN_SCORE_CHANGE:
                lines.append(f"{names[i]} {old:.0%} is now {new:.0%}")
    for i in set(range(len(before))) - {i for i, _ in pairs}:
        size += float(before.scores[i])
        lines.append(f"{names[i]} {before.scores[i]:.0%} is gone")
    for j in set(range(len(after))) - {j for _, j in pairs}:
        size += float(after.scores[j])
        lines.append(f"{others[j]} {after.scores[j]:.0%} is new")
    return ImageChange(image, size, tuple(lines))


def mistakes(
    image: int, truth: GroundTruth, found: Detections, labels: Sequence[str], annotated: Collection[str]
) -> ImageChange:
    """Compare the detections in an image with the ground truth; see `match_labels` for exceptions.

    Args:
        image: Image number.
        truth: Ground truth of the image.
        found: Detections in the image, from the display threshold on.
        labels: Class names as the annotations spell them, indexed by class id.
        annotated: Labels of the annotations.
    """
    size, lines = 0.0, []
    for true, detected, score in match_labels(truth, found, labels, annotated):
        if true == detected:
            continue
        size += score or 1.0
        if true == BACKGROUND:
            lines.append(f"{detected} {score:.0%} is a false positive")
        else:
            found_as = "missed" if detected == BACKGROUND else f"detected as {detected} {score:.0%}"
            lines.append(f"{true} is {found_as}")
    return ImageChange(image, size, tuple(lines))
