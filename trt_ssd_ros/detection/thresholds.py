"""Thresholds of a run, and how names and scores become one threshold per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from trt_ssd_ros.detection.engine import Tensors
from trt_ssd_ros.models.card import ModelCard

OFF = 2.0
"""Threshold that no score reaches."""
EXPECTED_SCORE = "Name=score with a score from 0 to 1, as in cat=0.5"


@dataclass(frozen=True)
class Thresholds:
    """Thresholds that may change between two frames without a rebuild.

    Attributes:
        classes: Lowest reported score of each class; above 1 disables the class.
        iou: Intersection over union in [0, 1] above which the lower-scoring of two boxes of a class is dropped.
        max_detections: Most boxes reported per image.

    Raises:
        ValueError: A number is out of range.
    """

    classes: tuple[float, ...]
    iou: float
    max_detections: int

    def __post_init__(self) -> None:
        if not all(score >= 0 for score in self.classes):
            raise ValueError(f"class thresholds: found {self.classes}, expected numbers of 0 or more")
        if not 0 <= self.iou <= 1:
            raise ValueError(f"IoU threshold: found {self.iou}, expected 0 to 1")
        if self.max_detections < 1:
            raise ValueError(f"max_detections: found {self.max_detections}, expected 1 or more")

    @cached_property
    def tensors(self) -> Tensors:
        """Graph inputs class_threshold, (C,) float32, and iou_threshold, (1,) float32."""
        return {
            "class_threshold": np.array(self.classes, np.float32),
            "iou_threshold": np.array([self.iou], np.float32),
        }

    @property
    def lowest(self) -> float:
        """Lowest reported score of any class."""
        return min(self.classes)

    @classmethod
    def uniform(cls, card: ModelCard, score: float | None = None) -> Thresholds:
        """Return a card's defaults, with one lowest score for all classes; None: the card's."""
        score = card.defaults.score_threshold if score is None else score
        return cls(class_thresholds(card.labels, score), card.defaults.iou_threshold, card.defaults.max_detections)


def class_thresholds(
    labels: Sequence[str],
    score: float,
    scores: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> tuple[float, ...]:
    """Return the lowest reported score of each class; above 1 for classes that are not reported.

    Args:
        labels: Name of each class; a class without a name (empty) is never reported.
        score: Threshold of the classes that `scores` does not name, 0 to 1.
        scores: Thresholds of single classes, "Name=0.5" or "Name: 0.5".
        include: Names of the only reported classes; empty: all classes.
        exclude: Names of classes that are not reported, even if included.

    Raises:
        ValueError: A name is not in `labels`, or no class is left; the message begins with the parameter's name.
    """
    own = _own_scores(labels, scores)
    for parameter, names in (("include_classes", include), ("exclude_classes", exclude)):
        _require_labels(parameter, names, labels)
    reported = set(include or labels) - {*exclude, ""}
    if not reported:
        found = f"{list(include)}, all of them in exclude_classes" if include else "every class excluded"
        raise ValueError(f"include_classes: found {found}, expected at least one class to report")
    return tuple(own.get(name, score) if name in reported else OFF for name in labels)


def _own_scores(labels: Sequence[str], texts: Sequence[str]) -> Mapping[str, float]:
    pairs = [_name_and_score(text) for text in texts]
    names = [name for name, _ in pairs]
    _require_labels("class_thresholds", names, labels)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"class_thresholds: found {twice!r} twice, expected each class once")
    return dict(pairs)


def _name_and_score(text: str) -> tuple[str, float]:
    separator = "=" if "=" in text else ":"
    name, _, number = text.rpartition(separator)
    try:
        score = float(number)
    except ValueError:
        score = -1.0
    if not (name and 0 <= score <= 1):
        raise ValueError(f"class_thresholds: found {text!r}, expected {EXPECTED_SCORE}")
    return name.strip(), score


def _require_labels(parameter: str, names: Sequence[str], labels: Sequence[str]) -> None:
    for name in names:
        if not name or name not in labels:
            raise ValueError(f"{parameter}: found {name!r}, expected {_near(name, labels)}")


def _near(name: str, labels: Sequence[str]) -> str:
    """Return the labels that the user may have meant."""
    labels = [label for label in labels if label]
    by_folded = {label.casefold(): label for label in labels}
    near = get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    if near:
        return "perhaps " + " or ".join(repr(by_folded[folded]) for folded in near)
    more = f" and {len(labels) - 10} more, see label_info" if len(labels) > 10 else ""
    return f"a class of this model: {', '.join(labels[:10])}{more}"
