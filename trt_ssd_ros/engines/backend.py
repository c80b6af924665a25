"""Open a detector on one of the backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.inference_engine import InferenceEngine
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import load_network
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import ImageShapes, build_plan
from trt_ssd_ros.engines.tensorrt_engine import TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import TensorRt


def open_tensorrt(model: onnx.ModelProto) -> TensorRtEngine:
    """Build a plan for this GPU and open it."""
    library = TensorRt()
    return TensorRtEngine(build_plan(model, library, ImageShapes()), library)


ENGINES: Mapping[str, Callable[[onnx.ModelProto], InferenceEngine]] = {
    "auto": OnnxRuntimeEngine,
    "onnxruntime": OnnxRuntimeEngine,
    "tensorrt": open_tensorrt,
}
BACKENDS = tuple(ENGINES)


def open_detector(card: ModelCard, backend: str = "auto") -> Detector:
    """Load a card's network, compose its graph and open it on a backend.

    Args:
        card: The detector's card.
        backend: One of BACKENDS. `auto` is ONNX Runtime until TensorRT plans are kept from one start to the next.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        ValueError: There is no such backend.
        RuntimeError: The backend's library or its GPU is missing, or it cannot run the network.
    """
    if backend not in ENGINES:
        raise ValueError(f"backend: found {backend!r}, expected one of {', '.join(BACKENDS)}")
    return Detector(ENGINES[backend](compose(load_network(card), card)), card)
