"""Overlap: what follows upon each other is done at the same time, in threads with bounded queues between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.1
GRACE_SECONDS = 5.0
"""How long a thread may take to notice that it is no longer wanted: it may wait for a camera that is gone."""


class _End:
    """Follows the last item; holds what ended it, if that was an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(
    items: Iterable[Item], depth: int, stop: threading.Event, newest: bool = False
) -> Generator[Item, None, None]:
    """Go through items in a thread of its own, at most `depth` ahead of whoever takes them.

    Args:
        items: Iterated in that thread only; what it raises is raised here.
        depth: Most items that wait.
        stop: Set from outside; the items end here, even while one is waited for that never comes.
        newest: Drop the oldest that waits rather than let `items` wait: for a camera.
    """
    queue: Queue[Item | _End] = Queue(depth)
    unwanted = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, queue, unwanted, newest), daemon=True)
    thread.start()
    try:
        while not isinstance(item := _get(queue, stop), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        thread.join(GRACE_SECONDS)


def _get(queue: Queue[Item | _End], stop: threading.Event) -> Item | _End:
    while not stop.is_set():
        try:
            return queue.get(timeout=POLL_SECONDS)
        except Empty:
            continue
    return _End()


def _produce(items: Iterable[Item], queue: Queue[Item | _End], stop: threading.Event, newest: bool) -> None:
    end = _End()
    try:
        for item in items:
            if newest and queue.full():
                _drop_oldest(queue)
            _put(queue, item, stop)
            if stop.is_set():
                return
    except BaseException as error:
        end = _End(error)
    _put(queue, end, stop)


def _drop_oldest(queue: Queue[Item | _End]) -> None:
    try:
        queue.get_nowait()
    except Empty:
        return  # taken meanwhile


def _put(queue: Queue[Item | _End], item: Item | _End, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            queue.put(item, timeout=POLL_SECONDS)
        except Full:
            continue
        return


class Behind(Generic[Item]):
    """Hands items to a function in a thread of its own, at most `depth` of them waiting.

    Args:
        consume: Called with one item after the other, in that thread only.
        depth: Most items that wait; then `put` waits.
    """

    def __init__(self, consume: Callable[[Item], None], depth: int) -> None:
        self._consume = consume
        self._queue: Queue[Item | _End] = Queue(depth)
        self._failed = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def put(self, item: Item) -> None:
        """Hand over one item.

        Raises:
            BaseException: What `consume` raised at an earlier one.
        """
        _put(self._queue, item, self._failed)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Behind[Item]:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all that was handed over is done; raise what `consume` raised."""
        _put(self._queue, _End(), self._failed)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not isinstance(item := self._queue.get(), _End):
                self._consume(item)
        except BaseException as error:
            self._error = error
            self._failed.set()
