"""Bring a network of a newer ONNX opset back to an older one, where it uses nothing that is new."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import defs, helper, numpy_helper

IR_VERSION = 8

DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "Resize": {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"},
    "Cast": {"saturate": 1},
    "AveragePool": {"dilations": [1, 1]},
    "DequantizeLinear": {"block_size": 0, "output_dtype": 0},
    "QuantizeLinear": {"block_size": 0, "saturate": 1, "output_dtype": 0},
}
"""Attributes that newer operators have, and the values with which they do what the older ones do."""


REDUCTIONS = [
    f"Reduce{name}" for name in ("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
]
"""Those whose axes became an input in opset 18; ReduceSum's did in 13."""


def opset(network: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators in a network, 0 if it has none."""
    return max((item.version for item in network.opset_import if item.domain in ("", "ai.onnx")), default=0)


def in_older_opset(network: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return a copy of a network in an older opset.

    From one opset to the next most operators take more types and nothing else changes. What does change is
    undone: axes of reductions are an attribute again, and what is at its default is left out.

    Raises:
        RuntimeError: An operator, or something that one of them uses, is newer.
    """
    older = onnx.ModelProto()
    older.CopyFrom(network)
    constants = {tensor.name: tensor for tensor in older.graph.initializer} | {
        node.output[0]: node.attribute[0].t
        for node in older.graph.node
        if node.op_type == "Constant" and node.attribute[0].HasField("t")
    }
    for node in older.graph.node:
        if node.domain in ("", "ai.onnx"):
            _make_older(node, version, constants)
    del older.opset_import[:]
    others = [item for item in network.opset_import if item.domain not in ("", "ai.onnx")]
    older.opset_import.extend([helper.make_opsetid("", version), *others])
    older.ir_version = min(older.ir_version, IR_VERSION)
    _drop_unread(older.graph)
    return older


def _make_older(node: onnx.NodeProto, version: int, constants: Mapping[str, onnx.TensorProto]) -> None:
    if node.op_type in REDUCTIONS:
        _axes_as_attribute(node, constants)
    if node.op_type == "Split":
        _drop(node, "num_outputs")  # opset 18; before it was the number of outputs
    try:
        schema = defs.get_schema(node.op_type, version, "")
    except defs.SchemaError as error:
        what = "newer" if defs.has(node.op_type) else "none of ONNX's"
        raise RuntimeError(f"operator {node.op_type} is {what}") from error
    defaults = DEFAULTS.get(node.op_type, {})
    for attribute in list(node.attribute):
        if attribute.name not in schema.attributes:
            if helper.get_attribute_value(attribute) != defaults.get(attribute.name):
                raise RuntimeError(f"{node.op_type} has {attribute.name}, which is newer")
            node.attribute.remove(attribute)
    while len(node.input) > schema.max_input and not node.input[-1]:
        del node.input[-1]
    if len(node.input) > schema.max_input:
        raise RuntimeError(f"{node.op_type} has {len(node.input)} inputs, which is newer")


def _axes_as_attribute(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> None:
    """Opset 18: the axes of reductions other than ReduceSum are an input."""
    if len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            raise RuntimeError(f"the axes of {node.op_type} are computed")
        axes = numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
        node.attribute.append(helper.make_attribute("axes", axes))
    elif any(attribute.name == "noop_with_empty_axes" and attribute.i for attribute in node.attribute):
        raise RuntimeError(f"{node.op_type} has noop_with_empty_axes, which is newer")
    del node.input[1:]
    _drop(node, "noop_with_empty_axes")


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove stored tensors that no node reads any more."""
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return  # a body may read what is around it
    read = {name for node in graph.node for name in node.input} | {tensor.name for tensor in graph.output}
    for tensor in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(tensor)


def _drop(node: onnx.NodeProto, name: str) -> None:
    for attribute in [item for item in node.attribute if item.name == name]:
        node.attribute.remove(attribute)
