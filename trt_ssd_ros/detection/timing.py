"""Timing: percentiles of how long calls take, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one image."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float] | NDArray[np.float64]) -> Timing:
        """Summarise measurements."""
        p50, p99 = np.percentile(milliseconds, (50, 99))
        return cls(float(p50), float(p99))


def time_rounds(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    done: Callable[[], object] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Time several calls in turns, so that all of them see the same machine.

    Args:
        calls: Calls by name.
        rounds: Number of rounds; in each, every call has its turn.
        repeats: Runs of a call in a turn.
        done: Called after each turn; an exception that it raises ends the measurement.

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


def time_in_turns(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Summarise `repeats` runs of each call, timed in ROUNDS rounds after one that warms up."""
    times = time_rounds(calls, ROUNDS + 1, max(1, repeats // ROUNDS))
    return {name: Timing.of(milliseconds[1:].ravel()) for name, milliseconds in times.items()}
