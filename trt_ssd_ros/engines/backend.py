"""Open a detector on one of the backends."""

from __future__ import annotations

from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import load_network
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

BACKENDS = ("auto", "onnxruntime")


def open_detector(card: ModelCard, backend: str = "auto") -> Detector:
    """Load a card's network, compose its graph and open it on a backend.

    Args:
        card: The detector's card.
        backend: One of BACKENDS. `auto` takes the fastest that works here.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        ValueError: There is no such backend.
        RuntimeError: The backend's library is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: found {backend!r}, expected one of {', '.join(BACKENDS)}")
    return Detector(OnnxRuntimeEngine(compose(load_network(card), card)), card)
