"""The detector is timed beside the bare session."""

from __future__ import annotations

from trt_ssd_ros.bench.speed import time_inference
from trt_ssd_ros.engines.backend import EngineChoice


def test_the_shipped_model_is_timed_alone_and_in_the_detector(card, photo):
    timings = time_inference(card, EngineChoice("onnxruntime"), photo("chelsea"), 10)
    assert list(timings) == ["bare session", "Detector.detect"]
    assert all(0 < timing.p50 <= timing.p99 for timing in timings.values())
