"""WorkQueue: hands units to the workers of a cluster, and again if a worker or its node is lost."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Generic, TypeVar

from trt_ssd_ros.errors import counted, one_line
from trt_ssd_ros.tools.cluster.needs import Needs
from trt_ssd_ros.tools.cluster.worker import WATCH, Failure, Work, Worker

LOGGER = logging.getLogger(__name__)
Unit = TypeVar("Unit")
Result = TypeVar("Result")

TICK_SECONDS = 0.5
"""Longest wait for a worker, after which signals and nodes are looked at again."""
PATIENCE_SECONDS = 5.0
"""Time without a ready worker after which the log says so."""
TIMEOUT_SECONDS = 600.0
"""Default time without progress after which a worker is killed. The build of a plan takes minutes."""
ASK_SHARE = 0.25
"""Share of this time after which a worker is asked for its progress."""
MAX_LOSSES = 5
"""Workers that one unit, or the opening of an engine, may cost before the run ends."""


class StoppedError(Exception):
    """End of the waiting, because the user has interrupted the run."""


@dataclass(eq=False)
class _Hired:
    """Worker of the cluster.

    Attributes:
        actor: Handle of the actor.
        node: Name of the node; empty until the engine is open.
        calls: Units in order by the reference of their result; None: the opening.
        question: Reference of the answer to the last question for its progress; None: the answer is there.
        progress: Last answer; None until the first one, because the actor may wait for room.
        silent: Seconds with calls and without progress.
    """

    actor: Any
    node: str = ""
    calls: dict[Any, Any] = field(default_factory=dict)
    question: Any = None
    progress: int | None = None
    silent: float = 0.0

    def ask(self) -> None:
        """Ask the worker for its progress."""
        self.question = self.actor.progress.options(concurrency_group=WATCH).remote()


class WorkQueue(Generic[Unit, Result]):
    """Queue of units over actors with one engine each.

    Ray runs a unit at least once. The queue returns each unit once: the first result that arrives. Ray itself
    restarts nothing here, because restarted actors wait without a word while the cluster has no room for them.

    Args:
        ray: The module, connected to a cluster.
        open_work: Function that opens the engine of a worker, importable on each node.
        needs: Part of a node that a worker takes.
        stop: Event that ends all waiting.
        timeout: Seconds without progress after which a worker counts as lost.

    Attributes:
        settings: Settings of the first worker, which all others must share; None until it is open.
    """

    def __init__(
        self,
        ray: Any,
        open_work: Callable[[], Work],
        needs: Needs,
        stop: Event,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.settings: Any = None
        self._ray = ray
        self._open_work = open_work
        self._needs = needs
        self._stop = stop
        self._timeout = timeout
        self._watched_at = time.monotonic()
        part_of_node = {"num_cpus": needs.cores, "num_gpus": needs.gpus}
        self._actors = ray.remote(**part_of_node, concurrency_groups={WATCH: 1})(Worker)
        self._waiting: deque[Unit] = deque()
        self._losses = Counter[Unit | None]()
        self._workers: list[_Hired] = []
        self._counted = -TICK_SECONDS
        self._room = 0
        self._ready_at = time.monotonic()
        self._said = False

    def __enter__(self) -> WorkQueue[Unit, Result]:
        """Return the queue."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers, also those that run a unit."""
        for worker in self._workers:
            self._ray.kill(worker.actor)

    @property
    def ready(self) -> int:
        """Number of workers whose engine is open."""
        return sum(bool(worker.node) for worker in self._workers)

    @property
    def unfinished(self) -> int:
        """Number of units whose result has not been returned."""
        return len(self._waiting) + sum(len(worker.calls) for worker in self._workers if worker.node)

    def add(self, units: Iterable[Unit]) -> None:
        """Append units to the queue."""
        self._waiting.extend(units)

    def add_first(self, unit: Unit) -> None:
        """Put a unit before all others."""
        self._waiting.appendleft(unit)

    def await_settings(self) -> Any:
        """Wait until a worker has opened its engine, and return the settings.

        Raises:
            RuntimeError, StoppedError: See `step`.
        """
        while self.settings is None:
            self.step()
        return self.settings

    def step(self) -> list[tuple[Unit, Result]]:
        """Hand out units, wait for the workers for at most TICK_SECONDS, and return what they have finished.

        Raises:
            RuntimeError: A worker cannot open its engine or run a unit, or a unit has cost too many workers.
            StoppedError: The event is set.
        """
        if self._stop.is_set():
            raise StoppedError
        self._hire()
        self._hand_out()
        self._say_waiting()
        self._watch()
        owners = {call: worker for worker in self._workers for call in worker.calls}
        if not owners:
            self._stop.wait(TICK_SECONDS)
            return []
        ready, _ = self._ray.wait(list(owners), timeout=TICK_SECONDS)
        ready, _ = self._ray.wait(list(owners), num_returns=len(owners), timeout=0) if ready else (ready, [])
        found: list[tuple[Unit, Result]] = []
        for call in (call for call in owners if call in ready):  # a worker may have died after its first unit
            if call in owners[call].calls:  # else an earlier one of these calls has told that the worker is lost
                found += self._complete(owners[call], call)
        return found

    def _hire(self) -> None:
        """Start workers for the units, as far as the cluster has room for them."""
        if time.monotonic() - self._counted >= TICK_SECONDS:
            self._counted = time.monotonic()
            self._room = self._needs.workers(self._ray.nodes())
        wanted = min(self._room, self.unfinished if self.settings is not None else 1)
        while len(self._workers) < wanted:
            worker = _Hired(self._actors.remote(self._open_work, str(Path.cwd())))
            worker.calls[worker.actor.open.remote()] = None
            worker.ask()
            self._workers.append(worker)

    def _hand_out(self) -> None:
        """Give each ready worker a unit, and a second one, which hides the way to the driver, while many wait."""
        for most in (1, 2):
            for worker in self._workers:
                enough = len(self._waiting) > (most - 1) * self.ready
                if worker.node and len(worker.calls) < most and enough:
                    unit = self._waiting.popleft()
                    worker.calls[worker.actor.run.remote(unit)] = unit

    def _complete(self, worker: _Hired, call: Any) -> Sequence[tuple[Unit, Result]]:
        """Take the answer to a call; a lost worker leaves its units to the others."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(call)
        except errors.RayTaskError:  # a defect, with its traceback
            raise
        except errors.RayError as error:
            self._lose(worker, one_line(error))
            return []
        unit = worker.calls.pop(call)
        worker.silent = 0.0
        if not worker.node:
            self._welcome(worker, *answer)
            return []
        if isinstance(answer, Failure):
            raise RuntimeError(f"{unit}: {answer.text}")
        return [(unit, answer)]

    def _welcome(self, worker: _Hired, node: str, settings: Any) -> None:
        if isinstance(settings, Failure):
            raise RuntimeError(settings.text)
        if self.settings is None:
            self.settings = settings
        if settings != self.settings:
            raise RuntimeError(
                f"the worker on node {node} would give other results: found {settings}, expected {self.settings}: "
                "install the same versions on all nodes, or choose --backend and --precision"
            )
        worker.node = node
        self._losses[None] = 0
        LOGGER.info("worker %d is ready on node %s", self.ready, node)

    def _watch(self) -> None:
        """Ask silent workers for their progress, and lose those that have made none for too long."""
        now = time.monotonic()
        passed, self._watched_at = min(now - self._watched_at, 2 * TICK_SECONDS), now  # the driver may have slept
        self._take_progress()
        for worker in list(self._workers):
            is_running = worker.calls and worker.progress is not None
            worker.silent = worker.silent + passed if is_running else 0.0
            if worker.silent >= self._timeout:
                self._lose(worker, f"it made no progress for {self._timeout:g} s")
            elif worker.silent >= ASK_SHARE * self._timeout and worker.question is None:
                worker.ask()

    def _take_progress(self) -> None:
        """Take the answers of the workers that were asked for their progress."""
        asked = {worker.question: worker for worker in self._workers if worker.question is not None}
        answers = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)[0] if asked else []
        for worker in (asked[answer] for answer in answers):
            question, worker.question = worker.question, None
            try:
                progress = self._ray.get(question)
            except self._ray.exceptions.RayTaskError:  # a defect, with its traceback
                raise
            except self._ray.exceptions.RayError:  # if the worker is lost, the call that is under way tells it
                if worker.progress is None:
                    worker.ask()
                continue
            if progress != worker.progress:
                worker.progress, worker.silent = progress, 0.0

    def _lose(self, worker: _Hired, reason: str) -> None:
        """Put the units of a lost worker back, before all others."""
        self._workers.remove(worker)
        self._ray.kill(worker.actor)
        units = [unit for unit in worker.calls.values() if unit is not None]
        worker.calls.clear()
        self._losses.update(units[:1] or [None])  # the second unit had not begun
        if self._losses[units[0] if units else None] >= MAX_LOSSES:
            what = str(units[0]) if units else "opening an engine"
            raise RuntimeError(f"{what} ended {MAX_LOSSES} workers; the last one: {reason}")
        self._waiting.extendleft(reversed(units))
        where = f"on node {worker.node}" if worker.node else "that opened its engine"
        LOGGER.warning("lost a worker %s, to run again: %s: %s", where, counted(len(units), "unit"), reason)

    def _say_waiting(self) -> None:
        """Say once that no worker is ready, and why."""
        if self.ready:
            self._ready_at, self._said = time.monotonic(), False
        elif not self._said and time.monotonic() - self._ready_at > PATIENCE_SECONDS:
            self._said = True
            missing = self._needs.missing(self._ray.nodes())
            opening = f"{counted(len(self._workers), 'worker')} wait for room or open their engines"
            LOGGER.warning("no worker is ready: %s; %s; Ctrl-C ends the run", missing, opening)
