"""GraphBuilder: a thin writer of ONNX graphs, in which operators are calls and tensors are names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""Newest opset that TensorRT 8.5 (JetPack 5) parses."""

IR_VERSION = 8
"""Version of the ONNX file format for opset 17."""


class GraphBuilder:
    """Nodes and constants of a new graph; a call adds an operator and returns the name of its output.

    Args:
        prefix: Prefix of the name of each node, tensor and constant.

    Attributes:
        nodes: Operators in topological order.
        constants: Constant tensors that the operators read.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operator with one output, and return the output's name: `name`, or the operator and a number."""
        return self.multiple(1, operator, *inputs, name=name, **attributes)[0]

    def multiple(self, count: int, operator: str, *inputs: str, name: str = "", **attributes: Any) -> list[str]:
        """Add an operator with several outputs, and return their names."""
        name = self._prefix + (name or f"{operator}_{len(self.nodes)}")
        outputs = [name] if count == 1 else [f"{name}.{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))
        return outputs

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant tensor, and return its name."""
        name = f"{self._prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def reshaped(self, tensor: str, shape: Sequence[int]) -> str:
        """Add a Reshape, and return the name of its output."""
        return self("Reshape", tensor, self.constant(shape, np.int64))

    def sliced(self, tensor: str, start: int, end: int, axis: int) -> str:
        """Add a Slice along one axis, and return the name of its output."""
        return self("Slice", tensor, *(self.constant([number], np.int64) for number in (start, end, axis)))

    def splice(self, network: onnx.ModelProto, tensor: str, source: str) -> None:
        """Add a network with the prefix network/, and feed its input `tensor` from `source`."""
        prefixed = onnx.compose.add_prefix(network, "network/").graph
        self.nodes.append(helper.make_node("Identity", [source], [f"network/{tensor}"], "network_input"))
        self.nodes.extend(prefixed.node)
        self.constants.extend(prefixed.initializer)

    def input(self, name: str, kind: TensorProto.DataType, shape: Sequence[int | str]) -> None:
        """Declare an input of the graph; text in the shape names a dynamic dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, source: str, kind: int, shape: Sequence[int | str]) -> None:
        """Declare an output of the graph that is a copy of the tensor `source`."""
        self.nodes.append(helper.make_node("Identity", [source], [name], name))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, name: str) -> onnx.ModelProto:
        """Return the checked model.

        Raises:
            onnx.checker.ValidationError: The nodes are no valid graph.
            onnx.shape_inference.InferenceError: Types or shapes contradict each other.
        """
        graph = helper.make_graph(self.nodes, name, self._inputs, self._outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="trt_ssd_ros", opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
