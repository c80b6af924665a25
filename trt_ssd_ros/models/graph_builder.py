"""GraphBuilder, a thin writer of ONNX graphs: operators are calls, tensors are names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""The newest opset that TensorRT 8.5 (JetPack 5) parses."""

IR_VERSION = 8
"""The ONNX file format that belongs to opset 17."""


class GraphBuilder:
    """Nodes and constants of a graph in the making; calling it adds an operator and returns its output's name.

    Args:
        prefix: Start of the name of each node, tensor and constant.

    Attributes:
        nodes: Operators, each behind those whose outputs it reads.
        constants: Tensors that the operators read.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operator of one output; without a `name` it is numbered."""
        return self.multiple(1, operator, *inputs, name=name, **attributes)[0]

    def multiple(self, count: int, operator: str, *inputs: str, name: str = "", **attributes: Any) -> list[str]:
        """Add an operator of several outputs and return their names."""
        name = self._prefix + (name or f"{operator}_{len(self.nodes)}")
        outputs = [name] if count == 1 else [f"{name}.{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))
        return outputs

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant tensor."""
        name = f"{self._prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def reshaped(self, tensor: str, shape: Sequence[int]) -> str:
        """Add a Reshape."""
        return self("Reshape", tensor, self.constant(shape, np.int64))

    def sliced(self, tensor: str, start: int, end: int, axis: int) -> str:
        """Add a Slice along one axis."""
        return self("Slice", tensor, *(self.constant([number], np.int64) for number in (start, end, axis)))

    def splice(self, network: onnx.ModelProto, tensor: str, source: str) -> None:
        """Add a whole network whose input `tensor` is fed from `source`; its names get the prefix network/."""
        prefixed = onnx.compose.add_prefix(network, "network/").graph
        self.nodes.append(helper.make_node("Identity", [source], [f"network/{tensor}"], "network_input"))
        self.nodes.extend(prefixed.node)
        self.constants.extend(prefixed.initializer)

    def input(self, name: str, kind: TensorProto.DataType, shape: Sequence[int | str]) -> None:
        """Declare an input of the graph; text in the shape names a dynamic dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, source: str, kind: int, shape: Sequence[int | str]) -> None:
        """Declare `source` as an output of the graph under its own name."""
        self.nodes.append(helper.make_node("Identity", [source], [name], name))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, name: str) -> onnx.ModelProto:
        """Return the checked model.

        Raises:
            onnx.checker.ValidationError: The nodes do not make a valid graph.
            onnx.shape_inference.InferenceError: Types or shapes contradict each other.
        """
        graph = helper.make_graph(self.nodes, name, self._inputs, self._outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="trt_ssd_ros", opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
