"""SIGINT and SIGTERM wait while an executor starts to spin.

A signal shuts rclpy's context down. Up to rclpy 7.1.11 (Jazzy) an EventsExecutor whose context goes in the first
millisecond of its spinning aborts the process (5 of 100 starts). A signal is delivered to any thread that does not
block it, so all threads that rclpy, DDS and the engines start are made to block both; the main thread takes them.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rclpy.executors import Executor

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
