"""The operators that the composed graph is made of."""

from __future__ import annotations

import onnx

OUR_OPERATORS = {
    "Abs",
    "Add",
    "And",
    "Cast",
    "Concat",
    "Div",
    "Equal",
    "Exp",
    "Gather",
    "GatherElements",
    "GatherND",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "Less",
    "LessOrEqual",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Resize",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Sub",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
}


def own_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that compose wrote: all but the network's."""
    return [node for node in model.graph.node if not node.output[0].startswith("network/")]
