"""InferenceExecutor: a dedicated executor, whose image callback runs the engine."""

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
FOREVER = -1
"""Nanoseconds to wait for in a wait set, as rcl_wait has it."""
LONGEST_WAIT = 3600.0
"""Seconds after which it looks again at what it holds back: rcl_wait takes no longer times than 292 years."""


class Input(Protocol):
    """One source of images that the executor waits for; another thread may destroy it at any time."""

    @property
    def handle(self) -> AbstractContextManager[Any]:
        """Handle that the executor holds while it waits; entering it raises InvalidHandle once it is destroyed."""

    def hold_back(self, now: float) -> float:
        """Return for how many seconds from now on (time.monotonic) no image is wanted; 0: one is wanted now."""

    def add_to(self, wait_set: Any) -> None:
        """Add the entity to an rclpy wait set."""

    def take(self, wait_set: Any) -> Any:
        """Return the image that is there after waiting, None if there is none."""


class InferenceExecutor(Executor):
    """Waits for images and for work in a thread of its own, the only one that touches the engine.

    CUDA contexts belong to a thread, so the engine is opened, run and closed here. Whatever work enters into
    `resources` is closed in this thread when it ends, also when ROS is shut down. Parameters, services and
    diagnostics belong to another executor: this one takes no node and no coroutine.

    The thread starts with the first work that is submitted: that of a node which could not be made would keep the
    process, where a signal has shut ROS down, for rclpy then calls nothing of `Context.on_shutdown`.

    Args:
        context: The context of the node whose images are taken.
        fail: Called with the reason if the thread ends because of an error.

    Attributes:
        resources: Closed in the executor's thread at its end.
    """

    def __init__(self, context: Context, fail: Callable[[str], None]) -> None:
        self.resources = ExitStack()
        self._fail = fail
        self._alarm = GuardCondition(None, None, context=context)
        self._inputs: Callable[[], Sequence[Input]] = tuple
        self._callback: Callable[[list[Any]], None] = _ignore
        self._work: deque[Callable[[], None]] = deque()
        self._lock = Lock()
        self._ended = False
        self._turn = Condition()
        self._turns = 0
        self._waiting = False
        self._busy, self._busy_since = 0.0, inf
        self._wait_set: Any = None
        self._room = 0
        self._thread = Thread(target=self.spin, name="inference")
        super().__init__(context=context)

    @property
    def is_waiting(self) -> bool:
        """Whether the thread has nothing to do."""
        return self._waiting

    @property
    def busy_seconds(self) -> float:
        """Time that the thread has spent on work and images so far."""
        with self._turn:
            return self._busy + max(0.0, monotonic() - self._busy_since)

    def listen(self, inputs: Callable[[], Sequence[Input]], callback: Callable[[list[Any]], None]) -> None:
        """Say where images come from and what is called with them.

        Args:
            inputs: Returns the inputs that are open now; asked before each wait.
            callback: Runs in the executor's thread with the images of all inputs that are ready, one of each.
        """
        self._inputs, self._callback = inputs, callback

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in the executor's thread; the future gets its result or its exception.

        If the executor ends before the work has begun, the exception is ExternalShutdownException.
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
        """Have the thread look at its work and its inputs anew.

        rclpy calls it when `Context.shutdown` is called, but not when a signal shuts ROS down: then `shutdown`, of
        the executor, wakes the thread.
        """
        self._alarm.trigger()

    def let_go(self) -> None:
        """Return once the thread holds no input that was destroyed before this call, so that it left the graph."""
        with self._turn:
            turns = self._turns
            self.wake()
            self._turn.wait_for(lambda: not self._waiting or self._turns != turns)

    def spin(self) -> None:
        """Work until the executor or ROS is shut down, then close the resources; the thread runs this."""
        try:
            with self.resources:
                while not self._ended and self.context.ok():
                    self.spin_once()
        except Exception as error:
            if self.context.ok():  # else ROS was shut down between two steps
                self._fail(f"the inference thread ends: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._ended = True
            self._do_work()  # futures of work that was not begun get their exception

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Do the work that is there, wait for images, and run the callback with them.

        Args:
            timeout_sec: Seconds to wait at most; None: until something happens.
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
        with self._turn:
            self._waiting = True
            self._busy += max(0.0, monotonic() - self._busy_since)
            self._busy_since = inf
        try:
            return self._wait(*self._wanted(inputs, timeout_sec), len(inputs))
        finally:
            with self._turn:
                self._waiting = False
                self._busy_since = monotonic()
                self._turns += 1
                self._turn.notify_all()

    @staticmethod
    def _wanted(inputs: Sequence[Input], timeout_sec: float | None) -> tuple[list[Input], int]:
        """Return the inputs to wait for, and the nanoseconds until another one is wanted."""
        now = monotonic()
        pauses = [(source, source.hold_back(now)) for source in inputs]
        seconds = [pause for _, pause in pauses if pause > 0] + ([] if timeout_sec is None else [timeout_sec])
        return [source for source, pause in pauses if pause <= 0], int(
            min(*seconds, LONGEST_WAIT) * 1e9
        ) if seconds else FOREVER

    def _wait(self, inputs: Sequence[Input], patience: int, room: int) -> list[Any]:
        """Wait, and take from every input that is ready.

        A wait set holds raw pointers, so each handle is held as long as it is in there: else another thread that
        destroys a subscription ends the process. The handles are let go before the callback runs.
        """
        with ExitStack() as held:
            try:
                for handle in (self.context.handle, self._alarm.handle, *(source.handle for source in inputs)):
                    held.enter_context(handle)
            except InvalidHandle:
                return []  # destroyed since the inputs were listed: the next turn lists them anew
            wait_set = self._wait_set_for(room)
            if wait_set is None:
                return []
            wait_set.clear_entities()
            for source in inputs:
                source.add_to(wait_set)
            wait_set.add_guard_condition(self._alarm.handle)
            wait_set.wait(patience)
            return [image for source in inputs if (image := source.take(wait_set)) is not None]

    def _wait_set_for(self, room: int) -> Any:
        """Return a wait set with room for so many inputs; None after a shutdown of ROS, when none can be made."""
        if self._wait_set is None or self._room != room:
            if not self.context.ok():
                return None
            self._wait_set = rclpy_implementation.WaitSet(room, 1, 0, 0, 0, 0, self.context.handle)
            self._room = room
        return self._wait_set

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Finish the work in hand, close the resources and end the thread; further calls do nothing."""
        with self._lock:
            self._ended = True
            started = self._thread.ident is not None
        if started:
            self.wake()
            self._thread.join(timeout_sec)
        if not self._thread.is_alive():
            self._wait_set = None
        return not self._thread.is_alive() and super().shutdown()

    def add_node(self, node: Any) -> NoReturn:
        """Refuse: a node that is added here leaves the executor that answers its services.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{node.get_name()}: an InferenceExecutor takes images and work, no node")

    def create_task(self, callback: Any, *_: Any, **__: Any) -> NoReturn:
        """Refuse: `submit` runs work.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{callback!r}: an InferenceExecutor runs no tasks: submit the work")


def _ignore(_: list[Any]) -> None:
    """Take images that nobody listens for."""
