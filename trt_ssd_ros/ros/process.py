"""Life of a ROS process: signals, spinning, shutdown, exit code, and a bridge from Python's log to ROS's.

A signal shuts down the context of rclpy. Up to rclpy 7.1.11 (Jazzy), an EventsExecutor whose context is shut down
in the first millisecond of spinning aborts the process (5 of 100 starts). So SIGINT and SIGTERM are blocked until
the executor spins. The kernel delivers a signal to any thread that does not block it. So all threads that rclpy,
DDS and the engines start block both signals, and the main thread handles them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.timer import Timer
from rclpy.utilities import get_default_context

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import share_folder
from trt_ssd_ros.ros.parameters import ParameterNode
from trt_ssd_ros.ros.transport import keep_freed_blocks, profile_environment

TERMINATION_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block the termination signals in the block; threads that start in it block them for good."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINATION_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def spin(executor: Executor) -> None:
    """Spin in this thread, with signals blocked until the executor runs its first task."""
    with signals_blocked():
        executor.create_task(partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, TERMINATION_SIGNALS))
        executor.spin()


AnyNode = TypeVar("AnyNode", bound=Node)


class FailableNode(ParameterNode):
    """Node that can end its process with an error.

    Attributes:
        failed: Whether `fail` was called.
    """

    failed = False

    def fail(self, reason: str) -> None:
        """Log the reason and shut down ROS, so that the process ends with exit code 1."""
        self.failed = True
        self.get_logger().fatal(reason)
        self.context.try_shutdown()

    def call_every(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call a function periodically on a steady clock, until ROS is shut down.

        Args:
            seconds: Period in seconds.
            callback: Function.

        Returns:
            Timer, which can be cancelled, and reset later.
        """

        def call() -> None:
            if self.context.ok():
                with unless_shut_down(self.context):
                    callback()

        return self.create_timer(seconds, call, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def call_in_executor(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in the executor's thread, from any thread; an error in it ends the process with code 1.

        Use it, not `create_task`: up to rclpy 7.1.11, a task that raises crashes an EventsExecutor (SIGSEGV).
        """

        def call() -> None:
            try:
                with unless_shut_down(self.context):
                    function(*arguments)
            except Exception:
                self.fail(f"bug in a task:\n{traceback.format_exc()}")

        if self.executor is not None and self.context.ok():
            self.executor.create_task(call)

    def call_once_spinning(self, action: Callable[[], None]) -> None:
        """Call a function in the executor's thread once the executor spins; until then, `fail` may abort it."""

        def once() -> None:
            self.destroy_timer(timer)
            action()

        # A steady clock, because the node's clock may stand still under use_sim_time.
        timer = self.create_timer(0.0, once, clock=Clock(clock_type=ClockType.STEADY_TIME))


def new_executor(context: Context) -> Executor:
    """Return the fastest available executor: EventsExecutor (Jazzy and newer), else SingleThreadedExecutor."""
    try:
        from rclpy.experimental import EventsExecutor  # noqa: PLC0415 - Humble has none
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


@dataclass
class RosProcess:
    """Executor and nodes of this process.

    Attributes:
        executor: Executor that spins the nodes.
        nodes: Nodes that `end` destroys; an EventsExecutor forgets its own list when it wakes after a shutdown.
    """

    executor: Executor
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: AnyNode) -> AnyNode:
        """Add a node to the executor, and return the node."""
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def end(self) -> None:
        """Stop the executor, destroy its nodes and shut down ROS; a failed step does not skip the others."""
        with ExitStack() as steps:
            steps.callback(rclpy.try_shutdown)
            for node in self.nodes:
                steps.callback(node.destroy_node)
            steps.callback(self.executor.shutdown)


@contextmanager
def ros_context(args: Sequence[str] | None = None) -> Iterator[RosProcess]:
    """Start ROS with the Fast DDS profile for large images, and shut it down after the block.

    A signal or another shutdown of ROS ends the block without an error.

    Args:
        args: Command line; None: sys.argv.
    """
    os.environ.update(profile_environment(share_folder() / "config" / "fastdds_large_images.xml"))
    with signals_blocked():
        # SIGINT only shuts down ROS. Python's own handler would raise KeyboardInterrupt in a callback.
        python_handler = signal.signal(signal.SIGINT, lambda *_: None)
        rclpy.init(args=None if args is None else list(args))
        ros = RosProcess(new_executor(get_default_context()))
    try:
        with until_shutdown(ros.executor):
            yield ros
    finally:
        ros.end()
        signal.signal(signal.SIGINT, python_handler)


@contextmanager
def until_shutdown(executor: Executor) -> Iterator[None]:
    """Suppress errors of a shutdown of ROS, in a callback, a new entity or the start of spinning."""
    try:
        yield
    except ExternalShutdownException:
        pass
    except RuntimeError:
        if rclpy.ok():
            raise
        _keep_forever(executor)


@contextmanager
def unless_shut_down(context: Context) -> Iterator[None]:
    """Suppress the error of rclpy in a callback that runs while a signal shuts ROS down.

    Otherwise the executor logs it with its traceback.

    Args:
        context: Context of the node.
    """
    try:
        yield
    except RuntimeError:
        if context.ok():
            raise


def _keep_forever(executor: Executor) -> None:
    """Keep an executor from being destroyed.

    If a shutdown overtakes an EventsExecutor while it adds an entity, its destruction aborts the process.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(executor))


def spin_node(create: Callable[[], FailableNode], args: Sequence[str] | None = None) -> int:
    """Create a node and spin it until ROS is shut down; see `spin_nodes`."""
    return spin_nodes(lambda: [create()], args)


def spin_nodes(create: Callable[[], Iterable[FailableNode]], args: Sequence[str] | None = None) -> int:
    """Create nodes and spin them until ROS is shut down.

    Args:
        create: Function that creates the nodes; they are destroyed in the opposite order.
        args: Command line; None: sys.argv.

    Returns:
        Exit code: 0 after a shutdown or a signal; 1 if a node failed or could not be created. In that case one
        line of the log gives the reason.
    """
    nodes: list[FailableNode] = []
    ros = None
    with ExitStack() as stack:
        try:
            ros = stack.enter_context(ros_context(args))
            stack.enter_context(signals_blocked())
            nodes += [ros.add(node) for node in create()]
        except (OSError, ParameterException, RuntimeError, ValueError) as error:
            if ros is not None and not rclpy.ok():
                return 0  # a signal shut down ROS while a node was created
            get_logger("trt_ssd_ros").fatal(one_line(error))
            return 1
        keep_freed_blocks()
        spin(ros.executor)
    return int(any(node.failed for node in nodes))


PACKAGE = "trt_ssd_ros"


class LogBridge(logging.Handler):
    """Handler of Python's logging that writes to a ROS logger.

    Args:
        logger: Logger of a node.
        names: Python loggers whose lines are this node's alone.
    """

    def __init__(self, logger: RcutilsLogger, *names: str) -> None:
        super().__init__(logging.INFO)
        self._logger = logger
        self._sources = [logging.getLogger(name) for name in names or (PACKAGE,)]

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record to the ROS logger."""
        # One call per severity, because rclpy refuses a call whose severity changes.
        text = record.getMessage().encode(errors="backslashreplace").decode()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def open(self) -> None:
        """Start forwarding the lines."""
        for source in self._sources:
            source.setLevel(logging.INFO)
            source.propagate = source.name == PACKAGE
            source.addHandler(self)

    def close(self) -> None:
        """Stop forwarding; further calls do nothing."""
        for source in self._sources:
            source.propagate = True
            source.removeHandler(self)
        super().close()
