"""BuildProgress: receives how far a build is, and may cancel it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Protocol

LOGGER = logging.getLogger(__name__)


class BuildCancelledError(RuntimeError):
    """The build was stopped from outside."""

    def __init__(self) -> None:
        super().__init__("the build was cancelled")


class BuildProgress(Protocol):
    """Told how far a build is. Called from the building thread and from TensorRT's own."""

    def report(self, doing: str, fraction: float | None) -> None:
        """Take note of what is being done and of how much of it, 0 to 1, if that is known."""

    def cancelled(self) -> bool:
        """Tell whether to stop."""


class LoggedProgress:
    """Says in the log what is being done, every few seconds while it is entered.

    Args:
        cancelled: Tells whether to stop.
        seconds: Time between two lines.

    Attributes:
        doing: What is being done, and how much of it if that is known.
    """

    def __init__(self, cancelled: Callable[[], bool] = lambda: False, seconds: float = 5.0) -> None:
        self.cancelled = cancelled
        self.doing = "starting"
        self._seconds = seconds
        self._ended = Event()

    def report(self, doing: str, fraction: float | None) -> None:
        """Take note; see `BuildProgress.report`."""
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
    """Turns the nested phases that TensorRT reports into one fraction that never falls."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._fraction = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Enter a phase."""
        self._phases[name] = _Phase(parent, max(steps, 1))

    def finish(self, name: str) -> float:
        """Leave a phase, whose last step need not have been told, and return as `step` does."""
        return self.step(name, self._phases[name].steps - 1) if name in self._phases else self._fraction

    def step(self, name: str, index: int) -> float:
        """Leave a step of a phase, and return the fraction of the whole that is done."""
        phase = self._phases.setdefault(name, _Phase(None, index + 1))
        phase.fraction = min((index + 1) / phase.steps, 1.0)
        done = phase.fraction
        while phase.parent in self._phases:
            phase = self._phases[phase.parent]
            done = min(phase.fraction + done / phase.steps, 1.0)
        self._fraction = max(self._fraction, done)
        return self._fraction


def progress_monitor(trt: Any, progress: BuildProgress) -> Any:
    """Return a monitor that reports to `progress`; TensorRT 10 and newer have them."""
    tree = PhaseTree()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Feeds the tree."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Enter a phase."""
            tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Leave a step; stop the build if asked to."""
            progress.report("building the plan", tree.step(phase_name, step))
            return not progress.cancelled()

        def phase_finish(self, phase_name: str) -> None:
            """Leave a phase; of a build that was stopped, all end."""
            if not progress.cancelled():
                progress.report("building the plan", tree.finish(phase_name))

    return Monitor()
