"""Half precision: a network's convolutions in float16."""

from __future__ import annotations

from collections.abc import Collection

import onnx
import onnx.shape_inference
from onnx import TensorProto, ValueInfoProto, helper

from trt_ssd_ros.engines.onnxruntime_engine import load_onnxruntime
from trt_ssd_ros.models.network import as_graph_opset, is_quantized
from trt_ssd_ros.models.onnx_graph import OnnxGraph, reads


def in_half_precision(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a network whose weights, activations, input and outputs are float16.

    The graph composed around it stays float32: resize, score conversion, decode and NMS. TensorRT keeps the types
    of the ONNX, so it runs only the network in half precision; TensorRT 8 takes them as a hint and may run more in
    half precision. If the network decodes its boxes, the nodes after the last convolutions stay float32, too:
    corners in float16 are off by up to half a pixel in a thousand.

    Raises:
        ValueError: The network is quantized.
        RuntimeError: ONNX Runtime, which has the converter, is not installed.
    """
    if is_quantized(network):
        raise ValueError("precision: found fp16 for a network that is quantized to int8, expected auto or fp32")
    graph = OnnxGraph(as_graph_opset(network))
    tail = postprocessing_nodes(graph)
    if any(graph.nodes[index].op_type == "Exp" for index in tail):
        return _with_float_tail(graph, tail)
    return _converted(graph.model)


def postprocessing_nodes(graph: OnnxGraph) -> set[int]:
    """Return the indices of the nodes after the last convolutions."""
    convolutions = [node for node in graph.nodes if node.op_type == "Conv"]
    behind = graph.after(name for node in convolutions for name in node.output)
    return behind - graph.before(name for node in convolutions for name in (*node.input, *node.output))


def _converted(network: onnx.ModelProto) -> onnx.ModelProto:
    load_onnxruntime()
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415 - only fp16 needs it

    half: onnx.ModelProto = convert_float_to_float16(network)
    return half


def _with_float_tail(graph: OnnxGraph, tail: Collection[int]) -> onnx.ModelProto:
    """Convert the nodes before the tail, and cast their results to float32 for the tail."""
    nodes = [graph.nodes[index] for index in sorted(tail)]
    crossing = [name for node in nodes for name in reads(node) if _is_made_before(graph, name, tail)]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in dict.fromkeys(crossing)]
    half = _converted(onnx.shape_inference.infer_shapes(graph.cut(graph.inputs, results)))
    casts = [
        helper.make_node("Cast", [item.name], [f"{item.name}/float"], to=TensorProto.FLOAT) for item in results
    ]
    half.graph.node.extend([*casts, *(_reading_casts(node, crossing) for node in nodes)])
    read = {name for node in nodes for name in reads(node)}
    stored = {tensor.name for tensor in half.graph.initializer}
    half.graph.initializer.extend(
        tensor for tensor in graph.model.graph.initializer if tensor.name in read - stored
    )
    _replace_outputs(half, graph.model.graph.output)
    return half


def _is_made_before(graph: OnnxGraph, tensor: str, tail: Collection[int]) -> bool:
    return tensor in graph.producers and graph.producers[tensor] not in tail


def _reading_casts(node: onnx.NodeProto, crossing: Collection[str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [f"{name}/float" if name in crossing else name for name in node.input]
    return copy


def _replace_outputs(model: onnx.ModelProto, outputs: Collection[ValueInfoProto]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(outputs)
