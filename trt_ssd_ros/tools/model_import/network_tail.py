"""Nodes that are appended to a network to bring its results into form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

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
