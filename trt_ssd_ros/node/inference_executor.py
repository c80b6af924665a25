"""InferenceExecutor: a dedicated executor whose image callback runs the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from math import inf
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Any, NoReturn, Protocol, TypeVar

from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation

from trt_ssd_ros.ros.process import signals_blocked

T = TypeVar("T")
MAX_WAIT = 3600.0
"""Longest wait in seconds: rcl_wait takes at most 292 years."""


class Input(Protocol):
    """Source of images for the executor; another thread may destroy it at any time."""

    @property
    def handle(self) -> AbstractContextManager[Any]:
        """Handle that the executor holds while it waits; once destroyed, it raises InvalidHandle on entering."""

    def throttle_delay(self, now: float) -> float:
        """Return the seconds from `now` (time.monotonic) until the next image is wanted; 0: at once."""

    def add_to(self, wait_set: Any) -> None:
        """Add the entity to an rclpy wait set."""

    def is_ready(self, wait_set: Any) -> bool:
        """Return whether there is an image after the wait."""

    def take(self) -> Any:
        """Return the newest image; None if there is none, or if it cannot be read."""


Choose = Callable[[Sequence[Any]], Sequence[Any]]
"""Function that returns the inputs to take from now, among those that have an image; the others keep theirs."""


class InferenceExecutor(Executor):
    """Executor with its own thread, the only thread that uses the engine.

    The thread waits for images and for work. CUDA contexts belong to a thread, so it opens, runs and closes the
    engine. When it ends, also after a shutdown of ROS, it closes everything in `resources`. Parameters, services
    and diagnostics belong to another executor: this one accepts no node and no coroutine.

    The thread starts with the first submitted work. If it started earlier, and a signal shut ROS down during the
    node's constructor, it would keep the process alive: rclpy then skips the callbacks of `Context.on_shutdown`.

    Args:
        context: Context of the node whose images are taken.
        fail: Called with the reason if the thread ends because of an error.

    Attributes:
        resources: Exit stack that the executor's thread closes at its end.
    """

    def __init__(self, context: Context, fail: Callable[[str], None]) -> None:
        self.resources = ExitStack()
        self._fail = fail
        self._wake_condition = GuardCondition(None, None, context=context)
        self._inputs: Callable[[], Sequence[Input]] = tuple
        self._callback: Callable[[list[Any]], None] = _ignore
        self._choose: Choose = list
        self._work: deque[Callable[[], None]] = deque()
        self._lock = Lock()
        self._ended = False
        self._cycle_ended = Condition()
        self._cycles = 0
        self._waiting = False
        self._postponed: Sequence[Input] = ()
        self._busy, self._busy_since = 0.0, inf
        self._wait_set: Any = None
        self._held = ExitStack()
        self._held_inputs: Sequence[Input] | None = None
        self._thread = Thread(target=self.spin, name="inference")
        super().__init__(context=context)

    @property
    def is_waiting(self) -> bool:
        """Whether the thread is idle."""
        return self._waiting

    @property
    def cycles(self) -> int:
        """Number of waits for images that have ended."""
        return self._cycles

    def postpones(self, source: Input | None) -> bool:
        """Return whether the input had an image at the last wait, and was not chosen."""
        return source in self._postponed

    @property
    def busy_seconds(self) -> float:
        """Seconds that the thread has spent on work and images so far."""
        with self._cycle_ended:
            return self._busy + max(0.0, monotonic() - self._busy_since)

    def listen(
        self,
        inputs: Callable[[], Sequence[Input]],
        callback: Callable[[list[Any]], None],
        choose: Choose = list,
    ) -> None:
        """Set the inputs, and the callback for their images.

        Args:
            inputs: Function that returns the open inputs; called before each wait.
            callback: Runs in the executor's thread with one image of each input that was taken from.
            choose: Chooses among the inputs that are ready, and their order; by default all of them. An input that
                is not chosen keeps its slot, where a newer image may replace the one that waits.
        """
        self._inputs, self._callback, self._choose = inputs, callback, choose

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in the executor's thread; the future gets the result or the exception.

        If the executor ends before the work starts, the exception is ExternalShutdownException.
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
                return future
            self._work.append(run)
            if self._thread.ident is None:
                with signals_blocked():
                    self._thread.start()
        self.wake()
        return future

    def wake(self) -> None:
        """Interrupt the wait, so that the thread checks its work and its inputs.

        rclpy calls `wake` in `Context.shutdown`, but not if a signal shuts ROS down: then the executor's own
        `shutdown` wakes the thread.
        """
        self._wake_condition.trigger()

    def await_release(self) -> None:
        """Block until all inputs that were destroyed before the call are released.

        After that they have left the graph.
        """
        with self._cycle_ended:
            cycles = self._cycles
            self.wake()
            self._cycle_ended.wait_for(lambda: not self._waiting or self._cycles != cycles)
            if not self._waiting:  # else the thread waits again, and holds the inputs that it has listed since
                self._release()

    def spin(self) -> None:
        """Run cycles until the executor or ROS is shut down, then close the resources; called by the thread."""
        try:
            with self.resources:
                while not self._ended and self.context.ok():
                    self.spin_once()
        except Exception as error:
            if self.context.ok():  # else ROS was shut down between two steps
                self._fail(f"the inference thread failed: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._ended = True
            with self._cycle_ended:
                self._release()
            self._do_work()  # sets the exceptions of work that has not started

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one cycle: do the submitted work, wait for images, and call the callback with them.

        Args:
            timeout_sec: Longest wait in seconds; None: no limit.
        """
        self._do_work()
        images = self._await_images(timeout_sec)
        if images:
            self._callback(images)

    def _do_work(self) -> None:
        while self._work:
            self._work.popleft()()

    def _await_images(self, timeout_sec: float | None) -> list[Any]:
        inputs = self._inputs()
        with self._cycle_ended:
            if not self._hold(inputs):
                return []  # destroyed after the inputs were listed: the next cycle lists them again
            self._waiting = True
            self._busy += max(0.0, monotonic() - self._busy_since)
            self._busy_since = inf
        try:
            return self._wait(*self._wanted(inputs, timeout_sec))
        finally:
            with self._cycle_ended:
                self._waiting = False
                self._busy_since = monotonic()
                self._cycles += 1
                self._cycle_ended.notify_all()

    def _hold(self, inputs: Sequence[Input]) -> bool:
        """Hold the handles of inputs, until `_release`; return whether none of them is destroyed.

        A wait set holds raw pointers. So each handle is held during the wait: otherwise the process crashes when
        another thread destroys a subscription. They are kept after the wait, because to hold them takes time.
        """
        if inputs == self._held_inputs:
            return True
        self._release()
        with ExitStack() as held:
            try:
                for handle in (
                    self.context.handle,
                    self._wake_condition.handle,
                    *(source.handle for source in inputs),
                ):
                    held.enter_context(handle)
            except InvalidHandle:
                return False
            if not self.context.ok():
                return False  # rcl refuses new wait sets after a shutdown
            self._wait_set = rclpy_implementation.WaitSet(len(inputs), 1, 0, 0, 0, 0, self.context.handle)
            self._held, self._held_inputs = held.pop_all(), inputs
        return True

    def _release(self) -> None:
        """Release all handles, so that those that were destroyed leave the graph."""
        self._held.close()
        self._held_inputs = self._wait_set = None

    @staticmethod
    def _wanted(inputs: Sequence[Input], timeout_sec: float | None) -> tuple[list[Input], float]:
        """Return the inputs to wait for, and the seconds after which a throttled input is wanted."""
        now, seconds, wanted = monotonic(), MAX_WAIT if timeout_sec is None else timeout_sec, []
        for source in inputs:
            pause = source.throttle_delay(now)
            if pause > 0:
                seconds = min(seconds, pause)
            else:
                wanted.append(source)
        return wanted, seconds

    def _wait(self, inputs: Sequence[Input], seconds: float) -> list[Any]:
        """Wait, and take from the inputs that are ready and chosen."""
        wait_set = self._wait_set
        wait_set.clear_entities()
        for source in inputs:
            source.add_to(wait_set)
        wait_set.add_guard_condition(self._wake_condition.handle)
        wait_set.wait(int(seconds * 1e9))
        ready = [source for source in inputs if source.is_ready(wait_set)]
        chosen = self._choose(ready) if ready else ready
        self._postponed = [source for source in ready if source not in chosen]
        return [image for source in chosen if (image := source.take()) is not None]

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Finish the current work, close the resources and end the thread; further calls do nothing."""
        with self._lock:
            self._ended = True
            started = self._thread.ident is not None
        if started:
            self.wake()
            self._thread.join(timeout_sec)
        return not self._thread.is_alive() and super().shutdown()

    def add_node(self, node: Any) -> NoReturn:
        """Refuse a node: adding it here would remove it from the executor that serves its services.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{node.get_name()}: an InferenceExecutor runs only submitted work and image callbacks")

    def create_task(self, callback: Any, *_: Any, **__: Any) -> NoReturn:
        """Refuse a task; `submit` runs work instead.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{callback!r}: an InferenceExecutor runs no tasks, use submit() instead")


def _ignore(_: list[Any]) -> None:
    """Discard images that come before `listen` sets a callback."""
