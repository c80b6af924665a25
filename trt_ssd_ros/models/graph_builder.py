"""Writers of ONNX graphs: operators are calls, tensors are names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
"""The newest opset that TensorRT 8.5 (JetPack 5) parses."""

IR_VERSION = 8
"""The ONNX file format that belongs to opset 17."""


class GraphBuilder:
    """Collects the nodes and constants of one graph; calling it adds an operator and returns its output's name."""

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of one output."""
        return self.multiple(1, operator, *inputs, **attributes)[0]

    def multiple(self, count: int, operator: str, *inputs: str, **attributes: Any) -> list[str]:
        """Add an operator of several outputs and return their names."""
        name = f"{operator}_{len(self._nodes)}"
        outputs = [name] if count == 1 else [f"{name}.{index}" for index in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))
        return outputs

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant tensor."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def splice(self, network: onnx.ModelProto, tensor: str, source: str) -> None:
        """Add a whole network whose input `tensor` is fed from `source`; its names get the prefix network/."""
        prefixed = onnx.compose.add_prefix(network, "network/").graph
        self._nodes.append(helper.make_node("Identity", [source], [f"network/{tensor}"], "network_input"))
        self._nodes.extend(prefixed.node)
        self._constants.extend(prefixed.initializer)

    def input(self, name: str, kind: TensorProto.DataType, shape: Sequence[int | str]) -> None:
        """Declare an input of the graph; text in the shape names a dynamic dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, source: str, kind: int, shape: Sequence[int | str]) -> None:
        """Declare `source` as an output of the graph under its own name."""
        self._nodes.append(helper.make_node("Identity", [source], [name], name))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, name: str) -> onnx.ModelProto:
        """Return the checked model.

        Raises:
            onnx.checker.ValidationError: The nodes do not make a valid graph.
            onnx.shape_inference.InferenceError: Types or shapes contradict each other.
        """
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="trt_ssd_ros", opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


PREFIX = "ssd/"


@dataclass
class Tail:
    """Nodes that are appended to a network, and what they read."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def __call__(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append an operator of one output and return its name."""
        output = PREFIX + (name or f"{operator}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def multiple(self, outputs: Sequence[str], operator: str, *inputs: str, **attributes: Any) -> None:
        """Append an operator of several outputs."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, outputs[0], **attributes))

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Store a tensor."""
        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def reshaped(self, tensor: str, shape: Sequence[int]) -> str:
        """Append a Reshape."""
        return self("Reshape", tensor, self.constant(shape, np.int64))
