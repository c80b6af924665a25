"""Timing takes turns, and the detector is timed beside the bare session."""

from __future__ import annotations

from trt_ssd_ros.tools.inference_timing import Timing, time_in_turns, time_inference


def test_calls_take_turns_and_the_first_round_does_not_count() -> None:
    called: list[str] = []
    timings = time_in_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 20)
    assert "".join(called) == "aabb" * 11
    assert timings.keys() == {"a", "b"}


def test_timing_is_median_and_99th_percentile() -> None:
    assert Timing.of(list(range(101))) == Timing(50.0, 99.0)


def test_the_shipped_model_is_timed_alone_and_in_the_detector(card, photo) -> None:
    timings = time_inference(card, photo("chelsea"), 10)
    assert list(timings) == ["bare session", "Detector.detect"]
    assert all(0 < timing.p50 <= timing.p99 for timing in timings.values())
