"""Time the detector, and what is in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.detection.timing import Timing, time_in_turns
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network


def time_inference(
    card: ModelCard, choice: EngineChoice, image: NDArray[np.uint8], repeats: int
) -> dict[str, Timing]:
    """Time the detector, and with ONNX Runtime, before it, the composed graph alone."""
    if choice.backend == "onnxruntime":
        return _time_onnxruntime(card, image, repeats)
    detector = open_detector(card, choice, [image])
    try:
        return time_in_turns({"Detector.detect": lambda: detector.detect(image)}, repeats)
    finally:
        detector.close()


def _time_onnxruntime(card: ModelCard, image: NDArray[np.uint8], repeats: int) -> dict[str, Timing]:
    model = compose(load_network(card), card)
    session = open_session(model)
    detector = Detector(OnnxRuntimeEngine(model), card)
    feeds = {"image": image[None], "channel_order": CHANNEL_ORDERS["bgr"], **detector.thresholds.tensors}
    return time_in_turns(
        {"bare session": lambda: session.run(None, feeds), "Detector.detect": lambda: detector.detect(image)},
        repeats,
    )
