"""NewestSlot: holds one item; a newer one replaces it."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestSlot(Generic[Item]):
    """Hands the newest item from one thread to another and counts the items that were replaced unseen.

    Nothing queues: however slow the taker is, it gets the newest item there is.
    """

    def __init__(self) -> None:
        self.overwritten = 0
        self._item: Item | None = None
        self._lock = Lock()

    def put(self, item: Item) -> bool:
        """Put an item in and tell whether the slot was empty, so that somebody must be told to take it."""
        with self._lock:
            was_empty = self._item is None
            self.overwritten += not was_empty
            self._item = item
            return was_empty

    def take(self) -> Item | None:
        """Return the item and empty the slot; None if it is empty."""
        with self._lock:
            item, self._item = self._item, None
            return item
