"""FrameCounts: counts of one camera's images by what became of them, and their growth over the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

UNKNOWN = "unknown"
"""Value of a count if the middleware does not number images."""


@dataclass
class FrameCounts:
    """Frame counts of one camera since its first image.

    `published = processed + dropped + refused + discarded + rate_limited + too_old`, if one publisher is matched,
    for the images from the first to the last taken in one subscription, once the engine is idle.

    Attributes:
        taken: Images taken from the middleware.
        processed: Images whose detections were published.
        dropped: Images that a newer one replaced before the engine was free, or that the middleware lost.
        refused: Images that cannot be read; the log gives the reason.
        discarded: Images that were in the engine when the node was deactivated or disabled.
        rate_limited: Images left in the middleware because of max_rate.
        too_old: Images older than max_input_age when they were taken.
        lost: Images that the middleware reports as lost in transport, from all publishers. With one publisher,
            they are part of `dropped`, or with max_rate of `rate_limited`.
        numbered: Whether the middleware numbers images (Fast DDS does, from Jazzy on); if not, `dropped` and
            `rate_limited` are unknown. None before the first image.
        reports_lost: Whether the middleware reports lost images (Fast DDS and Cyclone DDS do, from Jazzy on); if
            not, `lost` is unknown.
    """

    taken: int = 0
    processed: int = 0
    dropped: int = 0
    refused: int = 0
    discarded: int = 0
    rate_limited: int = 0
    too_old: int = 0
    lost: int = 0
    numbered: bool | None = None
    reports_lost: bool = True

    @property
    def received(self) -> int:
        """Number of images that reached this node's middleware; without sequence numbers, only the taken ones."""
        return self.taken + self.dropped + self.rate_limited

    def add(self, name: str, number: int) -> None:
        """Add a number of images to the count of this name."""
        setattr(self, name, getattr(self, name) + number)

    def values(self) -> Mapping[str, str]:
        """Return the counts as texts for /diagnostics."""
        names = ("received", "processed", "dropped", "lost", "refused", "discarded", "rate_limited", "too_old")
        values = {name: str(getattr(self, name)) for name in names}
        unknown = {"dropped", "rate_limited"} if self.numbered is False else set()
        return values | dict.fromkeys(unknown if self.reports_lost else unknown | {"lost"}, UNKNOWN)


SPAN = 5.0
"""Window of the rates in seconds."""


class RecentCounts:
    """Growth of the frame counts over the last SPAN seconds; starts again if the clock jumps back."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, FrameCounts]] = deque()

    def add(self, now: float, counts: FrameCounts) -> None:
        """Add the counts at time `now`, in seconds on any clock."""
        if self._counts and now < self._counts[-1][0]:
            self._counts.clear()
        if len(self._counts) > 1 and now == self._counts[-1][0]:
            self._counts.pop()
        self._counts.append((now, replace(counts)))
        while len(self._counts) > 2 and self._counts[1][0] <= now - SPAN:
            self._counts.popleft()

    def rate(self, name: str) -> float:
        """Return the growth of a count per second."""
        seconds = self._counts[-1][0] - self._counts[0][0] if self._counts else 0.0
        return self._growth(name) / seconds if seconds > 0 else 0.0

    def dropped(self) -> float:
        """Return the share of received images that were dropped or refused, 0 to 1."""
        received = self._growth("received")
        dropped = self._growth("dropped") + self._growth("refused")
        return min(dropped / received, 1.0) if received else 0.0

    def _growth(self, name: str) -> int:
        if not self._counts:
            return 0
        return int(getattr(self._counts[-1][1], name) - getattr(self._counts[0][1], name))
