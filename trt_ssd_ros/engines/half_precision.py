"""Half precision: a network's convolutions in float16."""

from __future__ import annotations

import onnx

from trt_ssd_ros.core.network import as_graph_opset
from trt_ssd_ros.engines.onnxruntime_engine import load_onnxruntime


def in_half_precision(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a network whose weights, activations, input and outputs are float16.

    The graph that is composed around it stays float32: resize, score conversion, decode and NMS. So TensorRT,
    which takes the types of the ONNX as they are, runs only the network in half precision. To TensorRT 8 they
    are a hint: it may run more so.

    Raises:
        RuntimeError: ONNX Runtime, whose converter this is, is not installed.
    """
    load_onnxruntime()
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415 - as above

    half: onnx.ModelProto = convert_float_to_float16(as_graph_opset(network))
    return half
