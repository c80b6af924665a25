"""Timing: percentiles of the duration of calls, measured in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10


@dataclass(frozen=True)
class Timing:
    """Percentiles of the time per image in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float] | NDArray[np.float64]) -> Timing:
        """Return the percentiles of measurements in milliseconds."""
        p50, p99 = np.percentile(milliseconds, (50, 99))
        return cls(float(p50), float(p99))


def time_rounds(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    done: Callable[[], object] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Time several calls in interleaved rounds, so that changes of the machine affect all of them.

    Args:
        calls: Calls by name.
        rounds: Number of rounds; each round times every call.
        repeats: Runs of a call per round.
        done: Called after each call's runs; its exception ends the measurement.

    Returns:
        Milliseconds (rounds, repeats) of each call.
    """
    times = {name: np.empty((rounds, repeats)) for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            for repeat in range(repeats):
                start = time.perf_counter()
                call()
                times[name][number, repeat] = (time.perf_counter() - start) * 1e3
            done()
    return times


def time_paced(
    call: Callable[[], object],
    rounds: int,
    repeats: int,
    rate: float,
    done: Callable[[], object] = lambda: None,
) -> NDArray[np.float64]:
    """Time a call at a fixed rate, as with the images of a camera; the thread sleeps between two calls.

    Args:
        call: Call to time.
        rounds: Number of rounds.
        repeats: Runs per round.
        rate: Calls per second; a call that takes longer delays the next one.
        done: Called after each round; its exception ends the measurement.

    Returns:
        Milliseconds (rounds, repeats), without the sleep.
    """
    times, due = np.empty((rounds, repeats)), time.perf_counter()
    for row in times:
        for repeat in range(repeats):
            due = max(due + 1 / rate, time.perf_counter())
            time.sleep(due - time.perf_counter() if due > time.perf_counter() else 0)
            start = time.perf_counter()
            call()
            row[repeat] = (time.perf_counter() - start) * 1e3
        done()
    return times


def time_interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Return the timing of `repeats` runs of each call in ROUNDS rounds, after a warm-up round."""
    times = time_rounds(calls, ROUNDS + 1, max(1, repeats // ROUNDS))
    return {name: Timing.of(milliseconds[1:].ravel()) for name, milliseconds in times.items()}
