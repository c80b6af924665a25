from __future__ import annotations

from collections import Counter
from itertools import groupby
from types import SimpleNamespace

import pytest

from trt_ssd_ros.detection import timing
from trt_ssd_ros.detection.timing import ROUNDS, Timing, time_interleaved, time_paced


class Clock:
    """Goes on only when a call takes time, and remembers who was called."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.called: list[str] = []

    def perf_counter(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def call(self, name: str, *milliseconds: float):
        """A call that takes each of these times in turn, then the last one for ever."""
        waiting = list(milliseconds)

        def run() -> None:
            self.called.append(name)
            self.seconds += (waiting.pop(0) if len(waiting) > 1 else waiting[0]) / 1e3

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock.perf_counter, sleep=clock.sleep))
    return clock


@pytest.mark.parametrize(
    ("milliseconds", "p50", "p99"),
    [([3], 3, 3), ([1, 2, 3], 2, 2.98), ([5, 1], 3, 4.96), (range(101), 50, 99), ([1] * 99 + [50], 1, 1.49)],
)
def test_measurements_are_summarised_by_median_and_99th_percentile(milliseconds, p50, p99):
    assert Timing.of(list(milliseconds)) == Timing(pytest.approx(p50), pytest.approx(p99))


def test_each_call_has_its_own_time(clock):
    times = time_interleaved({"a": clock.call("a", 2), "b": clock.call("b", 7)}, 20)
    assert times["a"] == Timing(pytest.approx(2), pytest.approx(2))
    assert times["b"] == Timing(pytest.approx(7), pytest.approx(7))


def test_calls_take_turns_a_few_at_a_time(clock):
    time_interleaved({"a": clock.call("a", 1), "b": clock.call("b", 1)}, 30)
    turns = [(name, len(list(group))) for name, group in groupby(clock.called)]
    assert turns == [("a", 3), ("b", 3)] * (ROUNDS + 1)


def test_the_first_round_only_warms_up(clock):
    times = time_interleaved({"a": clock.call("a", 1000, 1000, 5), "b": clock.call("b", 1)}, 20)
    assert times["a"].p99 == pytest.approx(5)


def test_a_slow_call_after_the_first_round_counts(clock):
    times = time_interleaved({"a": clock.call("a", 5, 5, 1000, 5)}, 20)
    assert times["a"].p50 == pytest.approx(5)
    assert times["a"].p99 > 100


@pytest.mark.parametrize(("repeats", "each_round"), [(0, 1), (1, 1), (10, 1), (19, 1), (20, 2), (100, 10)])
def test_each_round_has_its_share_of_the_repeats_but_at_least_one(clock, repeats, each_round):
    time_interleaved({"a": clock.call("a", 1)}, repeats)
    assert Counter(clock.called) == {"a": each_round * (ROUNDS + 1)}


def test_nothing_takes_no_time(clock):
    assert time_interleaved({}, 100) == {}
    assert clock.called == []


def test_a_paced_call_starts_at_its_rate_and_after_a_slow_one_at_once(clock):
    starts: list[float] = []
    call = clock.call("image", 10, 250, 10)

    def timed() -> None:
        starts.append(round(clock.seconds, 6))
        call()

    times = time_paced(timed, rounds=2, repeats=2, rate=10)
    assert times.tolist() == [pytest.approx([10, 250]), pytest.approx([10, 10])]
    assert starts == pytest.approx([0.1, 0.2, 0.45, 0.55])
