"""Network in int8: QuantizeLinear and DequantizeLinear around all convolutions but the first and the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnx import TensorProto

from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.images.source import SourceError
from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.network import as_graph_opset, input_type, is_quantized
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.quantize_model.calibration import CalibrationReader

STEM_CONVOLUTIONS = 3
"""Largest number of convolutions of a stem: a full one, a depthwise one, and its projection."""


def expect_float32(network: onnx.ModelProto, card: ModelCard) -> None:
    """Require a float32 network.

    Raises:
        ModelCardError: The network is already quantized, or in half precision.
    """
    if is_quantized(network):
        raise ModelCardError("onnx", "an already quantized network", "its float32 original")
    kind = input_type(network, card)
    if kind != TensorProto.FLOAT:
        raise ModelCardError("onnx", onnx.helper.tensor_dtype_to_string(kind), "a network in TensorProto.FLOAT")


def in_int8(network: onnx.ModelProto, reader: CalibrationReader, backend: str) -> onnx.ModelProto:
    """Return a quantized copy of a network.

    The last convolutions, which compute boxes and scores, and the nodes after them stay float32: 256 steps are
    too few for boxes. The first convolutions stay float32, too, see `_stem_nodes`. Ranges are the minimum and
    maximum of the activations: percentiles cut off the activations of the strongest detections.

    Args:
        network: Network in float32.
        reader: Calibration data.
        backend: Backend to quantize for; see `_for_onnxruntime` and `_for_tensorrt`.

    Raises:
        SourceError: There are no readable images.
        RuntimeError: ONNX Runtime is not installed, or cannot quantize the network.
        ValueError: The network has nothing to quantize.
    """
    ort = load_library("onnxruntime.quantization", "onnxruntime", "quantize_model")
    with TemporaryDirectory(prefix="quantize_model-") as place:
        source, target = Path(place) / "float.onnx", Path(place) / "int8.onnx"
        try:
            prepared = _prepared(network, source)
            ort.quantize_static(
                source,
                target,
                reader,
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                weight_type=ort.QuantType.QInt8,
                nodes_to_exclude=[*_stem_nodes(prepared), *_head_nodes(prepared)],
                **(_for_tensorrt(ort) if backend == "tensorrt" else _for_onnxruntime(ort, prepared)),
            )
        except SourceError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise RuntimeError(f"ONNX Runtime cannot quantize this network: {one_line(error)}") from error
        quantized = onnx.load(target)
    if not is_quantized(quantized):
        raise ModelCardError("onnx", "no convolution outside the heads", "one or more to quantize")
    return quantized


def _for_onnxruntime(ort: Any, network: onnx.ModelProto) -> dict[str, Any]:
    """Return options for uint8 activations, and for weights in 7 bits, those of depthwise convolutions in 8.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
    """
    # With 8 bits, x86 without VNNI overflows in the matrix products of other convolutions. A depthwise convolution
    # has no matrix product.
    full = {"quant_type": ort.QuantType.QInt8, "symmetric": True, "reduce_range": False, "axis": 0}
    options = {"TensorQuantOverrides": {node.input[1]: [full] for node in _depthwise(network)}}
    return {"activation_type": ort.QuantType.QUInt8, "reduce_range": True, "extra_options": options}


def _for_tensorrt(ort: Any) -> dict[str, Any]:
    """Return options for symmetric int8 at inputs of convolutions only, which then fuse with what follows.

    Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-with-quantized-types.html.
    """
    options = {
        "ActivationSymmetric": True,
        "QuantizeBias": False,
        "OpTypesToExcludeOutputQuantization": ["Conv"],
    }
    return {"activation_type": ort.QuantType.QInt8, "op_types_to_quantize": ["Conv"], "extra_options": options}


def _prepared(network: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Write and return a network with batch normalisation folded into convolutions, and a name for each node."""
    shapes = load_library("onnxruntime.quantization.shape_inference", "onnxruntime", "quantize_model")
    onnx.save(as_graph_opset(network), path)
    shapes.quant_pre_process(path, path, skip_symbolic_shape=True)
    prepared = onnx.load(path)
    for index, node in enumerate(prepared.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(prepared, path)
    return prepared


def _stem_nodes(network: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes up to the convolution after the first depthwise one.

    Return none if there is no depthwise convolution among the first ones. In ssdlite_mobilenet_v2_coco, these
    nodes in int8 cause half of the error of the scores.
    """
    # A depthwise convolution that stays float alone is worse than none: between QuantizeLinear and
    # DequantizeLinear, ONNX Runtime quantizes its weights with one scale for all channels,
    # https://github.com/microsoft/onnxruntime/pull/22969.
    graph = OnnxGraph(network)
    depthwise = next(_depthwise(network), None)
    readers = sorted(graph.after(depthwise.output)) if depthwise else []
    reader = next((graph.nodes[index] for index in readers if graph.nodes[index].op_type == "Conv"), None)
    stem = [graph.nodes[index] for index in graph.before(reader.output)] if reader else []
    return [node.name for node in stem] if _convolutions(stem) <= STEM_CONVOLUTIONS else []


def _convolutions(nodes: Sequence[onnx.NodeProto]) -> int:
    return sum(node.op_type == "Conv" for node in nodes)


def _depthwise(network: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the convolutions with one input and one output channel per group."""
    shapes = {tensor.name: list(tensor.dims) for tensor in network.graph.initializer}
    for node in network.graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        if node.op_type == "Conv" and groups > 1 and shapes.get(node.input[1], [])[:2] == [groups, 1]:
            yield node


def _head_nodes(network: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes without a convolution after them."""
    graph = OnnxGraph(network)
    features = graph.before(name for node in graph.nodes if node.op_type == "Conv" for name in node.input)
    return [node.name for index, node in enumerate(graph.nodes) if index not in features]
