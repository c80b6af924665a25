"""Overlap of pipeline stages: threads with bounded queues between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.1
JOIN_TIMEOUT = 5.0
"""Seconds to wait for the producer thread to end: it may block on an unplugged camera."""


class _End:
    """End marker behind the last item, with the error that ended the stage, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(
    items: Iterable[Item], depth: int, stop: threading.Event, newest: bool = False
) -> Generator[Item, None, None]:
    """Iterate over items in a background thread, at most `depth` items ahead of the consumer.

    Args:
        items: Items to prefetch, iterated in that thread only; their exceptions are raised here.
        depth: Largest number of queued items.
        stop: Event that ends the iteration, even while the thread blocks on an item that never comes.
        newest: Drop the oldest queued item instead of blocking the thread; for cameras.
    """
    queue: Queue[Item | _End] = Queue(depth)
    cancelled = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, queue, cancelled, newest), daemon=True)
    thread.start()
    try:
        while not isinstance(item := _get(queue, stop), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        cancelled.set()
        thread.join(JOIN_TIMEOUT)


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
        return  # the consumer was faster


def _put(queue: Queue[Item | _End], item: Item | _End, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            queue.put(item, timeout=POLL_SECONDS)
        except Full:
            continue
        return


class BackgroundConsumer(Generic[Item]):
    """Background thread that passes queued items to a function.

    Args:
        consume: Function to call with each item in order, in that thread only.
        depth: Largest number of queued items; `put` blocks while the queue is full.
    """

    def __init__(self, consume: Callable[[Item], None], depth: int) -> None:
        self._consume = consume
        self._queue: Queue[Item | _End] = Queue(depth)
        self._failed = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def put(self, item: Item) -> None:
        """Queue one item.

        Raises:
            BaseException: `consume` failed on an earlier item and raised this error.
        """
        _put(self._queue, item, self._failed)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> BackgroundConsumer[Item]:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all queued items are consumed; raise the error of `consume`, if any."""
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
