"""Time ONNX Runtime on a composed graph alone, and the detector around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.core.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import load_network
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_session

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


def time_inference(card: ModelCard, image: NDArray[np.uint8], repeats: int) -> dict[str, Timing]:
    """Time ONNX Runtime on the composed graph alone, and the detector around it."""
    model = compose(load_network(card), card)
    session = open_session(model)
    feeds = {
        "image": image[None],
        "channel_order": CHANNEL_ORDERS["bgr"],
        "class_threshold": np.full(len(card.labels), card.defaults.score_threshold, np.float32),
        "iou_threshold": np.array([card.defaults.iou_threshold], np.float32),
    }
    detector = Detector(OnnxRuntimeEngine(model), card)
    return time_in_turns(
        {"bare session": lambda: session.run(None, feeds), "Detector.detect": lambda: detector.detect(image)},
        repeats,
    )
