"""BuildProgress: receiver of a build's progress, which may cancel the build."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Protocol

LOGGER = logging.getLogger(__name__)


class BuildCancelledError(RuntimeError):
    """Build that was cancelled."""

    def __init__(self) -> None:
        super().__init__("the build was cancelled")


class BuildProgress(Protocol):
    """Receiver of a build's progress, called from the building thread and from TensorRT's threads."""

    def report(self, doing: str, fraction: float | None) -> None:
        """Receive the current activity and its completed fraction, 0 to 1; None: unknown."""

    def cancelled(self) -> bool:
        """Return whether to cancel the build."""


class LoggedProgress:
    """Progress receiver that logs the current activity at a fixed interval while entered.

    Args:
        cancelled: Returns whether to cancel the build.
        seconds: Time between two log lines in seconds.

    Attributes:
        doing: Current activity, with its completed percentage if known.
    """

    def __init__(self, cancelled: Callable[[], bool] = lambda: False, seconds: float = 5.0) -> None:
        self.cancelled = cancelled
        self.doing = "starting"
        self._seconds = seconds
        self._ended = Event()

    def report(self, doing: str, fraction: float | None) -> None:
        """Receive the current activity; see `BuildProgress.report`."""
        self.doing = doing if fraction is None else f"{doing}, {fraction:.0%}"

    def __enter__(self) -> LoggedProgress:
        self.doing = "starting"
        self._ended.clear()
        self._thread = Thread(target=self._log, name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _log(self) -> None:
        start = time.monotonic()
        while not self._ended.wait(self._seconds):
            LOGGER.info("%s (%.0f s so far)", self.doing, time.monotonic() - start)


@dataclass
class _Phase:
    parent: str | None
    steps: int
    fraction: float = 0.0


class PhaseTree:
    """Nested phases that TensorRT reports, as one completed fraction that never decreases."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._fraction = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Enter a phase."""
        self._phases[name] = _Phase(parent, max(steps, 1))

    def finish(self, name: str) -> float:
        """Leave a phase, whose last step TensorRT may not report; return the completed fraction of the build."""
        return self.step(name, self._phases[name].steps - 1) if name in self._phases else self._fraction

    def step(self, name: str, index: int) -> float:
        """Complete a step of a phase; return the completed fraction of the build, 0 to 1."""
        phase = self._phases.setdefault(name, _Phase(None, index + 1))
        phase.fraction = min((index + 1) / phase.steps, 1.0)
        done = phase.fraction
        while phase.parent in self._phases:
            phase = self._phases[phase.parent]
            done = min(phase.fraction + done / phase.steps, 1.0)
        self._fraction = max(self._fraction, done)
        return self._fraction


def progress_monitor(trt: Any, progress: BuildProgress) -> Any:
    """Return a TensorRT progress monitor (TensorRT 10 and newer) that reports to `progress`."""
    tree = PhaseTree()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Forwards TensorRT's phases to the tree."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Enter a phase."""
            tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Complete a step; return False to cancel the build."""
            progress.report("building the plan", tree.step(phase_name, step))
            return not progress.cancelled()

        def phase_finish(self, phase_name: str) -> None:
            """Leave a phase; a cancelled build ends all phases, which is no progress."""
            if not progress.cancelled():
                progress.report("building the plan", tree.finish(phase_name))

    return Monitor()
