"""The life of one ROS process: signals, spinning, an orderly end, an exit code, and Python's log in ROS's.

SIGINT and SIGTERM wait while an executor starts to spin. A signal shuts rclpy's context down. Up to rclpy 7.1.11
(Jazzy) an EventsExecutor whose context goes in the first millisecond of its spinning aborts the process (5 of 100
starts). A signal is delivered to any thread that does not block it, so all threads that rclpy, DDS and the engines
start are made to block both; the main thread takes them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import rclpy
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.utilities import get_default_context

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import share_folder
from trt_ssd_ros.ros.parameters import ExplainedNode
from trt_ssd_ros.ros.transport import keep_freed_blocks, profile_environment

ENDING = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Let signals wait; threads that are started meanwhile never take them."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def spin(executor: Executor) -> None:
    """Spin in this thread, with signals waiting until the executor does what it is told."""
    with signals_blocked():
        executor.create_task(partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, ENDING))
        executor.spin()


AnyNode = TypeVar("AnyNode", bound=Node)


class FailableNode(ExplainedNode):
    """A node that may end its process with an error.

    Attributes:
        failed: Whether it did.
    """

    failed = False

    def fail(self, reason: str) -> None:
        """Log the reason and shut ROS down, which ends the process with exit code 1."""
        self.failed = True
        self.get_logger().fatal(reason)
        self.context.try_shutdown()


def new_executor(context: Context) -> Executor:
    """Return the fastest executor there is: EventsExecutor (Jazzy and newer), else SingleThreadedExecutor."""
    try:
        from rclpy.experimental import EventsExecutor  # noqa: PLC0415 - Humble has none
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


@dataclass
class RosProcess:
    """ROS in this process.

    Attributes:
        executor: Spins the nodes.
        nodes: Destroyed at the end. An EventsExecutor cannot be asked for them then: woken after a shutdown, it
            forgets them.
    """

    executor: Executor
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: AnyNode) -> AnyNode:
        """Let the executor spin a node, and return it."""
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def end(self) -> None:
        """Stop the executor, destroy its nodes and shut ROS down, each even if another fails."""
        with ExitStack() as steps:
            steps.callback(rclpy.try_shutdown)
            for node in self.nodes:
                steps.callback(node.destroy_node)
            steps.callback(self.executor.shutdown)


@contextmanager
def ros_context(args: Sequence[str] | None = None) -> Iterator[RosProcess]:
    """Start ROS with room for large images, and end it.

    A signal or a shutdown from elsewhere ends the block without an error. SIGINT only shuts ROS down: Python would
    raise KeyboardInterrupt as well, in the middle of whatever callback runs.

    Args:
        args: Command line, sys.argv by default.
    """
    python_handler = signal.signal(signal.SIGINT, lambda *_: None)
    os.environ.update(profile_environment(share_folder() / "config" / "fastdds_large_images.xml"))
    with signals_blocked():
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
    """Let a shutdown of ROS end the block, be it in a callback, a new entity or the start of spinning."""
    try:
        yield
    except ExternalShutdownException:
        pass
    except RuntimeError:
        if rclpy.ok():
            raise
        _keep_forever(executor)


def _keep_forever(executor: Executor) -> None:
    """Never destroy an executor: EventsExecutor aborts then if a shutdown overtook it while it added an entity."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(executor))


def spin_node(create: Callable[[], FailableNode], args: Sequence[str] | None = None) -> int:
    """Create a node and spin it until ROS is shut down.

    Args:
        create: Makes the node.
        args: Command line, sys.argv by default.

    Returns:
        The exit code: 0 after a shutdown or a signal; 1 if the node failed, or could not be made, for which the
        log then has one line.
    """
    node = ros = None
    with ExitStack() as stack:
        try:
            ros = stack.enter_context(ros_context(args))
            stack.enter_context(signals_blocked())
            node = create()
        except (OSError, ParameterException, RuntimeError, ValueError) as error:
            if ros is not None and not rclpy.ok():
                return 0  # a signal came while the node was made
            get_logger("trt_ssd_ros").fatal(one_line(error))
            return 1
        ros.add(node)
        keep_freed_blocks()
        spin(ros.executor)
    return int(node is not None and node.failed)


PACKAGE_LOGGER = logging.getLogger("trt_ssd_ros")


class LogBridge(logging.Handler):
    """A handler of Python's logging that writes to a ROS logger.

    Args:
        logger: A node's logger.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; rclpy wants a line of its own for every severity."""
        text = record.getMessage().encode(errors="backslashreplace").decode()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def open(self) -> None:
        """Begin."""
        PACKAGE_LOGGER.setLevel(logging.INFO)
        PACKAGE_LOGGER.addHandler(self)

    def close(self) -> None:
        """End; further calls do nothing."""
        PACKAGE_LOGGER.removeHandler(self)
        super().close()
