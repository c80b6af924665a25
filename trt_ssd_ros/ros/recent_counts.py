"""RecentCounts: how fast counts have grown lately."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from trt_ssd_ros.node.frame_counts import FrameCounts

SPAN = 5.0
"""Seconds that rates look back on."""


class RecentCounts:
    """Remembers the counts of the last SPAN seconds and tells their growth; begins anew when time goes back."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, FrameCounts]] = deque()

    def clear(self) -> None:
        """Forget everything, as when the clock was set."""
        self._counts.clear()

    def add(self, now: float, counts: FrameCounts) -> None:
        """Take the counts of now, in seconds on any clock."""
        if self._counts and now < self._counts[-1][0]:
            self.clear()
        if len(self._counts) > 1 and now == self._counts[-1][0]:
            self._counts.pop()
        self._counts.append((now, replace(counts)))
        while len(self._counts) > 2 and self._counts[1][0] <= now - SPAN:
            self._counts.popleft()

    def rate(self, name: str) -> float:
        """Return by how much a count grew a second."""
        seconds = self._counts[-1][0] - self._counts[0][0] if self._counts else 0.0
        return self._growth(name) / seconds if seconds > 0 else 0.0

    def dropped(self) -> float:
        """Return which share of the images that were sent came to nothing, 0 to 1."""
        sent = self._growth("received") + self._growth("lost")
        dropped = sum(self._growth(name) for name in ("lost", "overwritten", "refused"))
        return min(dropped / sent, 1.0) if sent else 0.0

    def _growth(self, name: str) -> int:
        if not self._counts:
            return 0
        return int(getattr(self._counts[-1][1], name) - getattr(self._counts[0][1], name))
