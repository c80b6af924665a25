"""What a network that ends in ONNX's NonMaxSuppression tells: the tensors in front of it, and its threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.heads import LEAST_BOXES, Heads, Shapes, box_count, usable

IOU_THRESHOLD = 3
"""Which input of NonMaxSuppression it is."""


def from_onnx_nms(graph: OnnxGraph, shapes: Shapes) -> Heads | None:
    """Return what ONNX's NonMaxSuppression reads, if that is all boxes and all scores."""
    for node in graph.nodes:
        if node.op_type == "NonMaxSuppression":
            boxes, scores = node.input[:2]
            whole = box_count(shapes.get(boxes, ())) >= LEAST_BOXES and usable(graph, (boxes, scores))
            if whole and not any(item.name == "center_point_box" and item.i for item in node.attribute):
                return Heads(boxes, scores, "the inputs of NonMaxSuppression")
    return None


def nms_facts(graph: OnnxGraph) -> Mapping[str, Any]:
    """Return the threshold of a network's NonMaxSuppression, wherever it is, if it is stored in the file."""
    whole = graph.model.graph
    makers = {name: node for node in nodes_of(whole) for name in node.output}
    stored = {item.name: numpy_helper.to_array(item) for item in whole.initializer if item.dims in ([], [1])}
    nodes = [node for node in nodes_of(whole) if node.op_type == "NonMaxSuppression"]
    told = {
        _number(node.input[IOU_THRESHOLD], makers, stored) for node in nodes if len(node.input) > IOU_THRESHOLD
    }
    return {"iou_threshold": told.pop()} if len(told) == 1 and None not in told else {}


def _number(name: str, makers: Mapping[str, NodeProto], stored: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the one number that is stored in a tensor, or in what Unsqueeze or Cast made it of."""
    while name in makers and makers[name].input:
        name = makers[name].input[0]
    if name in stored:
        return float(stored[name].item())
    values = [helper.get_attribute_value(item) for item in makers[name].attribute] if name in makers else []
    numbers = [numpy_helper.to_array(v).item() if isinstance(v, TensorProto) else v for v in values]
    return float(numbers[0]) if numbers and isinstance(numbers[0], (int, float)) else None


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield all nodes of a graph and of the bodies in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                yield from nodes_of(body)
