"""Settings of a tracker, and the scores that it needs from the detector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class TrackerSettings:
    """Settings that may change between two images.

    Attributes:
        thresholds: Lowest score of each class that begins a track and that is reported without one; above 1: the
            class is not reported. One number for each class of the detector.
        low_threshold: Lowest score that continues a track.
        max_gap: Longest time in seconds between two detections of one track.
        confirm_after: Detections until an object gets an id.
        match_iou: Least intersection over union of a track's predicted box and a detection.
        low_match_iou: Least intersection over union of a predicted box and a detection below its threshold.
        max_jump: Longest time in seconds between two images of one session; at least `max_gap`.

    Raises:
        ValueError: A number is out of range; the message begins with the attribute's name.
    """

    thresholds: tuple[float, ...]
    low_threshold: float = 0.1
    max_gap: float = 1.0
    confirm_after: int = 2
    match_iou: float = 0.2
    low_match_iou: float = 0.4
    max_jump: float = 60.0

    def __post_init__(self) -> None:
        if not self.thresholds or not all(score >= 0 for score in self.thresholds):
            raise ValueError(f"thresholds: found {self.thresholds}, expected a number of 0 or more for each class")
        for name in ("low_threshold", "match_iou", "low_match_iou"):
            _require(name, getattr(self, name), 0, 1, "0 to 1")
        _require("max_gap", self.max_gap, 0, 3600, "0 to 3600 seconds")
        _require("max_jump", self.max_jump, self.max_gap, inf, f"at least max_gap, which is {self.max_gap} s")
        if self.confirm_after < 1:
            raise ValueError(f"confirm_after: found {self.confirm_after}, expected 1 detection or more")

    @cached_property
    def levels(self) -> NDArray[np.float32]:
        """(2, C) float32, `thresholds` and `wanted_scores`."""
        return np.array([self.thresholds, self.wanted_scores], np.float32)

    @property
    def wanted_scores(self) -> tuple[float, ...]:
        """Lowest score of each class that the tracker needs; above 1 for classes that are not reported."""
        return tuple(min(score, self.low_threshold) if score <= 1 else score for score in self.thresholds)

    def reported_untracked(self, detections: Detections) -> Detections:
        """Return the detections that are reported without a track."""
        return detections[detections.scores >= self.levels[0, detections.class_ids]]


def _require(name: str, number: float, low: float, high: float, expected: str) -> None:
    if not low <= number <= high:
        raise ValueError(f"{name}: found {number}, expected {expected}")
