"""Worker: an actor that holds one engine and runs one unit after the other."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import cv2

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.quiet_opencv import quiet_opencv

WATCH = "watch"
"""Concurrency group of `Worker.progress`, which answers while the worker runs a unit."""


class Work(Protocol):
    """Engine of a worker, with all that it needs to run units.

    Attributes:
        settings: Settings that the results depend on. They must be equal in all workers of a run.
        done: Number that grows with each image or other step, also while a unit runs.
    """

    settings: Any
    done: int

    def run(self, unit: Any) -> Any:
        """Return the result of a unit."""


@dataclass(frozen=True)
class Failure:
    """Error of a worker that another worker would meet as well.

    Attributes:
        text: Node and error, in one line.
    """

    text: str


class Worker:
    """Actor of Ray. It returns errors of the user's making as `Failure`; any other error is a defect.

    Args:
        open_work: Function that opens the engine, in the process of the actor.
        folder: Working folder of the driver, from which relative paths start.
    """

    def __init__(self, open_work: Callable[[], Work], folder: str) -> None:
        self._open = open_work
        with suppress(OSError):  # a node without it names the files that it misses
            os.chdir(folder)
        self._work: Work | None = None

    def open(self) -> tuple[str, Any]:
        """Open the engine, and return the name of this node and the settings, or a `Failure` in their place."""
        quiet_opencv()
        cv2.setNumThreads(1)  # as in the tools: OpenCV's threads would take the cores from the network
        try:
            self._work = self._open()
        except (OSError, RuntimeError, ValueError) as error:
            return socket.gethostname(), _failure(error)
        return socket.gethostname(), self._work.settings

    def run(self, unit: Any) -> Any:
        """Return the result of a unit, or a `Failure`."""
        if self._work is None:
            raise AssertionError("a worker must be opened before it runs a unit")
        try:
            return self._work.run(unit)
        except (OSError, RuntimeError, ValueError) as error:
            return _failure(error)

    def progress(self) -> int:
        """Return the number of steps done; it answers while `run` runs, which has a thread of its own."""
        return 0 if self._work is None else self._work.done


def _failure(error: Exception) -> Failure:
    return Failure(f"node {socket.gethostname()}: {one_line(error)}")
