"""FoundAgain: how much of what a detector finds another one finds as well."""

from __future__ import annotations

import statistics

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.evaluation.box_matching import match_boxes


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
