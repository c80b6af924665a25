"""Time ONNX Runtime on a composed graph alone, and the detector around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.core.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import load_network
from trt_ssd_ros.core.timing import Timing, time_in_turns
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_session


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
