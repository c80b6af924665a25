"""InferenceExecutor: an rclpy executor with a thread of its own, the only one that touches the engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from threading import Lock, Thread
from typing import Any, TypeVar

from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor

from trt_ssd_ros.ros.signals import signals_blocked

T = TypeVar("T")


def new_executor(context: Context) -> Executor:
    """Return the fastest executor there is: EventsExecutor (Jazzy and newer), else SingleThreadedExecutor."""
    try:
        from rclpy.experimental import EventsExecutor  # noqa: PLC0415 - Humble has none
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


class InferenceExecutor:
    """Runs work one piece after another in a dedicated thread, while other executors answer ROS.

    CUDA contexts belong to a thread, so the engine is opened, run and closed here. Whatever is entered into
    `resources` from within the work is closed in this thread when it ends, also when ROS is shut down.
    """

    def __init__(self, context: Context) -> None:
        self.resources = ExitStack()
        self._context = context
        self._executor = new_executor(context)
        self._lock = Lock()
        self._waiting: set[Future[Any]] = set()
        self._ended = False
        self._thread = Thread(target=self._spin, name="inference")
        with signals_blocked():
            self._thread.start()
            self.submit(lambda: None).exception()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in the inference thread; the future gets its result or its exception.

        Where the thread ends before the work has begun, the exception is ExternalShutdownException.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._ended:
                future.set_exception(ExternalShutdownException())
                return future
            self._waiting.add(future)

        def run() -> None:
            self._waiting.discard(future)
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

        self._executor.create_task(run)
        return future

    def shutdown(self) -> None:
        """Finish the work in hand, close the resources and end the thread; further calls do nothing."""
        self._executor.shutdown()
        self._thread.join()

    def _spin(self) -> None:
        try:
            with self.resources, suppress(ExternalShutdownException):
                self._executor.spin()
        except RuntimeError:
            if self._context.ok():
                raise  # else a shutdown overtook the start of the spinning
        finally:
            with self._lock:
                self._ended = True
            for future in self._waiting:
                future.set_exception(ExternalShutdownException())
