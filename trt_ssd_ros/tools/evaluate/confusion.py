"""Confusion matrix, and the differences of two detectors, or of detector and ground truth, in one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.agreement import SAME, intersections, match_boxes
from trt_ssd_ros.detection.detections import Detections, areas
from trt_ssd_ros.tools.evaluate.average_precision import Truth

NOTHING = ""
"""Stands for the background: missed objects are taken for it, and it is taken for objects."""


def compared(
    truth: Truth, found: Detections, labels: Sequence[str], annotated: Collection[str]
) -> Iterator[tuple[str, str, float]]:
    """Pair what is in an image with what was found in it: true label, label found, score of what was found.

    What was missed has the label NOTHING and the score 0; what was found where nothing is has the true label
    NOTHING, unless it lies in a region that is ignored, or is of a class that nobody annotated.

    Args:
        truth: What is there.
        found: What was found.
        labels: Name of each class id, in the words of the truth.
        annotated: Labels of the annotations.
    """
    ignored = np.array([item.ignored for item in truth.annotations], bool)
    objects = [item.label for item in truth.annotations if not item.ignored]
    names = [labels[class_id] for class_id in found.class_ids]
    pairs = match_boxes(truth.boxes[~ignored], found.boxes)
    yield from ((objects[i], names[j], float(found.scores[j])) for i, j in pairs)
    seen, used = {i for i, _ in pairs}, {j for _, j in pairs}
    yield from ((label, NOTHING, 0.0) for i, label in enumerate(objects) if i not in seen)
    inside = intersections(found.boxes, truth.boxes[ignored]) >= SAME * areas(found.boxes)[:, None]
    for j, name in enumerate(names):
        if j not in used and name in annotated and not inside[j].any():
            yield NOTHING, name, float(found.scores[j])


class Confusion:
    """Counts what is taken for what, at one score threshold.

    Args:
        labels: Name of each of the detector's class ids, in the words of the truth.
        annotated: Labels of the annotations.
        threshold: Lowest score that counts.

    Attributes:
        counts: By (true label, label found).
    """

    def __init__(self, labels: Sequence[str], annotated: Collection[str], threshold: float) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._labels, self._annotated = labels, annotated
        self._threshold = threshold

    def add(self, truth: Truth, found: Detections) -> None:
        """Count one image."""
        found = found[found.scores >= self._threshold]
        pairs = compared(truth, found, self._labels, self._annotated)
        self.counts.update((true, said) for true, said, _ in pairs)

    def labels(self) -> list[str]:
        """Return the labels that occur, but NOTHING, those most confused with others first, then by frequency."""
        confused, occurring = Counter[str](), Counter[str]()
        for (true, said), count in self.counts.items():
            occurring.update({true: count, said: count})
            if NOTHING not in (true, said) and true != said:
                confused.update({true: count, said: count})
        named = (label for label in occurring if label != NOTHING)
        return sorted(named, key=lambda label: (-confused[label], -occurring[label], label))

    def table(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return counts, rows true, columns found, of `labels`, of all others if there are any, and of NOTHING."""
        size = len(labels) + 1 + (len(self.labels()) > len(labels))
        places = {**{label: number for number, label in enumerate(labels)}, NOTHING: size - 1}
        table = np.zeros((size, size), np.int64)
        for (true, said), count in self.counts.items():
            table[places.get(true, len(labels)), places.get(said, len(labels))] += count
        return table


NOTEWORTHY = 0.05
"""Change of a score that is worth a line."""


@dataclass(frozen=True, eq=False)
class ImageChange:
    """Differences in one image.

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
