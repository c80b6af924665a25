"""SequenceGaps: counts the images that were not taken, by the numbers that publishers give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import Any


class SequenceGaps:
    """Counter of images that were not taken, by gaps in the publisher's sequence numbers.

    Each publisher has its own sequence numbers, and a message info does not name the publisher. Listing the
    publishers takes a quarter of a millisecond, too long for each gap. So `collect` decides: gaps count if there
    was only one publisher.

    Attributes:
        numbered: Whether the middleware numbers images; None before the first image.
    """

    def __init__(self) -> None:
        self.numbered: bool | None = None
        self._publishers: frozenset[Any] = frozenset()
        self._last: int | None = None
        self._pending: Counter[str] = Counter()
        self._lock = Lock()

    def restart(self) -> None:
        """Start again with the next image: images before it were sent without a subscription."""
        with self._lock:
            self._last = None
            self._publishers = frozenset()

    def skip(self) -> None:
        """Record that the next image was taken, but has no readable number."""
        with self._lock:
            self._last = None if self._last is None else self._last + 1

    def note(self, number: int | None, reason: str) -> None:
        """Record an image that was taken.

        Args:
            number: Sequence number of the image; None if the middleware has none.
            reason: Name of the count for the images in the gap before this one.
        """
        with self._lock:
            last, self._last = self._last, number
            self.numbered = number is not None
            if number is not None and last is not None and number > last + 1:
                self._pending[reason] += number - last - 1

    def collect(self, publishers: frozenset[Any]) -> Mapping[str, int]:
        """Return the number of images not taken since the last call, by reason.

        Args:
            publishers: Identifiers of all present publishers.
        """
        with self._lock:
            pending, self._pending = self._pending, Counter()
            alone = len(self._publishers | publishers) <= 1
            self._publishers = publishers or self._publishers
            if not alone:
                self._last = None
        return pending if alone else {}
