"""InferenceExecutor: a thread of its own, the only one that touches the engine; NewestSlot hands it images."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException

from trt_ssd_ros.ros.process import signals_blocked

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


T = TypeVar("T")


class InferenceExecutor:
    """Runs work one piece after another in a dedicated thread, while executors of rclpy answer ROS.

    CUDA contexts belong to a thread, so the engine is opened, run and closed here. Whatever is entered into
    `resources` from within the work is closed in this thread when it ends, also when ROS is shut down.

    The thread starts with the first work that is submitted: that of a node which could not be made would keep the
    process, where a signal has shut ROS down, for rclpy then calls nothing of `Context.on_shutdown`.
    """

    def __init__(self, context: Context) -> None:
        self.resources = ExitStack()
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = Lock()
        self._ended = False
        self._thread = Thread(target=self._run, name="inference")
        context.on_shutdown(self._end)

    def post(self, work: Callable[[], None]) -> None:
        """Run work that raises nothing in the inference thread, once that has started and if it has not ended."""
        self._work.put(work)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in the inference thread; the future gets its result or its exception.

        Where the thread ends before the work has begun, the exception is ExternalShutdownException.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                if self._ended:
                    raise ExternalShutdownException
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

        with self._lock:
            if self._ended:
                future.set_exception(ExternalShutdownException())
            else:
                self._work.put(run)
                self._start()
        return future

    def shutdown(self) -> None:
        """Finish the work in hand, close the resources and end the thread; further calls do nothing."""
        self._end()
        if self._thread.ident is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread.ident is None:
            with signals_blocked():
                self._thread.start()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._work.put(None)

    def _run(self) -> None:
        with self.resources:
            for work in iter(self._work.get, None):
                work()
