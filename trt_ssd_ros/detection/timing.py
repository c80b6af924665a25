"""Timing: compare the durations of calls fairly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 10


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one image."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Timing:
        """Summarise measurements."""
        p50, p99 = np.percentile(milliseconds, (50, 99))
        return cls(float(p50), float(p99))


def time_in_turns(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Time several calls, a few of each in turn, so that all of them see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(ROUNDS + 1):
        for name, call in calls.items():
            for _ in range(max(1, repeats // ROUNDS)):
                start = time.perf_counter()
                call()
                if round_number > 0:
                    times[name].append((time.perf_counter() - start) * 1e3)
    return {name: Timing.of(values) for name, values in times.items()}
