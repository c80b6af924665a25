"""StampBuffer: recent messages by their stamps, and the one that belongs to another message; no ROS."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

Item = TypeVar("Item")

GAPS = 15
"""Number of newest gaps whose median is the period."""
TOLERANCE = 0.55
"""Largest distance of two matching stamps, in periods: a half, and a twentieth for drivers whose stamps jitter."""
MOST_PER_SECOND = 120
"""Messages of a second that are kept: more than depth cameras send, for stamps that hardly move."""
SAME = 1_000_000
"""Largest distance of equal stamps in nanoseconds: some drivers round."""


@dataclass(frozen=True)
class Match(Generic[Item]):
    """Result of a search by stamp.

    Attributes:
        item: Message that belongs to the stamp; None if there is none.
        offset: Stamp of the nearest message minus the given one, in nanoseconds; None without messages.
        final: Whether no later message can change the result.
    """

    item: Item | None
    offset: int | None
    final: bool


class StampBuffer(Generic[Item]):
    """Recent messages of one topic in the order of their stamps.

    Args:
        span: Time between the oldest and the newest kept message in nanoseconds.
    """

    def __init__(self, span: int) -> None:
        self._span = span
        self._most = max(2, MOST_PER_SECOND * span // 10**9)
        self._stamps: list[int] = []
        self._items: list[Item] = []
        self._gaps: deque[int] = deque(maxlen=GAPS)

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def period(self) -> int | None:
        """Time between two messages in nanoseconds, a median; None before the second message."""
        return round(median(self._gaps)) if self._gaps else None

    def clear(self) -> None:
        """Delete all messages and the period."""
        self._stamps.clear()
        self._items.clear()
        self._gaps.clear()

    def add(self, stamp: int, item: Item) -> bool:
        """Add a message; one that is older than the newest deletes all others, because the clock has jumped.

        A message with the stamp of the newest replaces it: a driver that sets no stamps sends 0 for good.

        Args:
            stamp: Stamp in nanoseconds.
            item: Message.

        Returns:
            Whether the stamps went back.
        """
        back = bool(self._stamps) and stamp < self._stamps[-1]
        if back:
            self.clear()
        if self._stamps and stamp == self._stamps[-1]:
            self._items[-1] = item
            return False
        if self._stamps:
            self._gaps.append(stamp - self._stamps[-1])
        self._stamps.append(stamp)
        self._items.append(item)
        first = max(bisect_left(self._stamps, stamp - self._span), len(self._stamps) - self._most)
        del self._stamps[:first], self._items[:first]
        return back

    def match(self, stamp: int) -> Match[Item]:
        """Return the message whose stamp is nearest, if it is at most TOLERANCE periods away.

        Args:
            stamp: Stamp in nanoseconds.
        """
        if not self._stamps:
            return Match(None, None, False)
        right = bisect_left(self._stamps, stamp)
        beside = range(max(right - 1, 0), min(right + 1, len(self._stamps)))
        nearest = min(beside, key=lambda index: abs(self._stamps[index] - stamp))
        offset = self._stamps[nearest] - stamp
        if abs(offset) <= max(SAME, TOLERANCE * (self.period or 0)):
            return Match(self._items[nearest], offset, True)
        passed = self._stamps[-1] >= stamp and self.period is not None
        return Match(None, offset, passed)
