"""Open the default model on TensorRT, detect once and say so, to time it: first_detection PRECISION."""

from __future__ import annotations

import numpy as np

from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import DEFAULT_MODEL, model_card_path, sample_photos


def detect_first(precision: str) -> None:
    """Open the default model on TensorRT and detect once, which a benchmark times from outside."""
    card = ModelCard.load(model_card_path(DEFAULT_MODEL))
    detector = open_detector(card, EngineChoice("tensorrt", precision), sample_photos())
    detector.detect(np.zeros((720, 1280, 3), np.uint8))
    print("detected", flush=True)
    detector.close()
