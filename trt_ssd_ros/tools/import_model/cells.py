"""Feature map and cell of each row of a head.

The cells are traced: feature maps that hold their own indices run through the operators between the last
convolutions and the head.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.onnx_graph import CONVOLUTIONS, OnnxGraph
from trt_ssd_ros.models.priors import Priors
from trt_ssd_ros.tools.import_model.image_tensor import Arrays
from trt_ssd_ros.tools.import_model.probe import run

MOVING = {
    *("Reshape", "Concat", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Gather"),
    "Identity",
}
"""Operators that move values."""

IN_PLACE = {
    *("Sigmoid", "Softmax", "Relu", "Clip", "BatchNormalization", "QuantizeLinear", "DequantizeLinear"),
    *("Add", "Sub", "Mul", "Div", "Cast", "Dropout"),
}
"""Operators that keep each value in its place: that of the first input, or of the one that is not stored."""


@dataclass(frozen=True)
class HeadCells:
    """Feature map and cell of each row of a head.

    Attributes:
        sizes: Feature map size of each row (A, 2): rows and columns in cells.
        places: Cell of each row (A, 2): y and x in cells.
        shapes: Index of each row among the boxes of its cell (A,), in the order of the convolution's channels.
    """

    sizes: NDArray[np.int64]
    places: NDArray[np.int64]
    shapes: NDArray[np.int64]

    @property
    def order(self) -> NDArray[np.int64]:
        """Row indices (A,) in the order of `models/priors.py`: by map, row, cell and shape."""
        (y, x), (rows, columns) = self.places.T, self.sizes.T
        order: NDArray[np.int64] = np.lexsort((self.shapes, x, y, -columns, -rows))
        return order

    def maps(self) -> list[str]:
        """Return each feature map as text: rows x columns x boxes per cell."""
        sizes, counts = np.unique(self.sizes, axis=0, return_counts=True)
        return [f"{h}x{w}x{n // (h * w)}" for (h, w), n in zip(sizes[::-1], counts[::-1], strict=True)]

    def centres(self) -> NDArray[np.float64]:
        """Return the cell centres (A, 2), x and y, normalised to the image."""
        centres: NDArray[np.float64] = (self.places + 0.5) / self.sizes
        return centres[:, ::-1]

    def fits(self, priors: Priors) -> bool:
        """Return whether prior boxes (A, 4) lie in these cells, in `order`."""
        if len(priors) != len(self.shapes):
            return False
        sizes, places = self.sizes[self.order], self.places[self.order]
        # If steps do not divide the input evenly, prior boxes are off the centres, but by less than a cell.
        off = np.abs(priors[:, 1::-1] * sizes - (places + 0.5))
        return bool(off.max() < 1)


def head_cells(graph: OnnxGraph, tensor: str, count: int, values: Arrays) -> HeadCells | None:
    """Return the feature map and cell of each row of a head; None if the rows cannot be traced.

    Args:
        graph: Graph of the network.
        tensor: Name of the head.
        count: Number of rows of the head.
        values: Values for an image of the tensors that `needed_for_cells` returns.
    """
    path = _Path.to(graph, tensor)
    if path is None or any(values[name].ndim != 4 for name in path.sources):
        return None
    shapes = [values[name].shape for name in path.sources]
    try:
        session = open_session(path.network(values))
        marks = [
            _rows(run(session, dict(zip(path.sources, feed, strict=True)))[0], count) for feed in _marks(shapes)
        ]
    except (RuntimeError, ValueError):
        return None  # for example a Gather whose indices depend on the image
    source, channel, y, x = marks
    if any(np.ptp(mark, axis=1).any() for mark in (source, y, x)):
        return None
    sizes = np.array([shape[2:] for shape in shapes])[source[:, 0]]
    places = np.stack([y[:, 0], x[:, 0]], 1)
    return HeadCells(sizes, places, _shapes(sizes, places, source[:, 0], channel.min(axis=1)))


def needed_for_cells(graph: OnnxGraph, tensors: Sequence[str]) -> list[str]:
    """Return the tensors whose values `head_cells` needs."""
    paths = filter(None, (_Path.to(graph, tensor) for tensor in tensors))
    return list(dict.fromkeys(name for path in paths for name in (*path.sources, *path.sides)))


@dataclass(frozen=True)
class _Path:
    """Path from convolutions to a tensor; operators that keep values in their place are Identity nodes.

    Attributes:
        graph: Graph of the network.
        tensor: Name of the tensor at the end of the path.
        sources: Names of the convolutions' outputs.
        sides: Names of the other tensors that the nodes read, such as shapes.
        nodes: Nodes in topological order.
    """

    graph: OnnxGraph
    tensor: str
    sources: list[str]
    sides: list[str]
    nodes: list[NodeProto]

    @classmethod
    def to(cls, graph: OnnxGraph, tensor: str) -> _Path | None:
        sources: list[str] = []
        nodes: dict[int, NodeProto] = {}
        convolutions = [node for node in graph.nodes if node.op_type in CONVOLUTIONS]
        behind = {
            name
            for index in graph.after(name for node in convolutions for name in node.input)
            for name in graph.nodes[index].output
        }
        waiting = [tensor]
        while waiting:
            name = waiting.pop()
            node = graph.producer(name)
            if node is None:
                return None
            if node.op_type in CONVOLUTIONS:
                sources.append(name)
                continue
            carried = _carried(node, behind)
            if carried is None:
                return None
            if graph.producers[name] not in nodes:
                nodes[graph.producers[name]] = _identity(node, carried[0]) if node.op_type in IN_PLACE else node
                waiting.extend(carried)
        ordered = [nodes[index] for index in sorted(nodes)]
        made = {*sources, *(name for node in ordered for name in node.output)}
        stored = {item.name for item in graph.model.graph.initializer}
        sides = [name for node in ordered for name in node.input if name and name not in made | stored]
        return cls(graph, tensor, list(dict.fromkeys(sources)), list(dict.fromkeys(sides)), ordered)

    def network(self, values: Arrays) -> onnx.ModelProto:
        """Return the path as a network with float32 inputs and output."""
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, values[name].shape) for name in self.sources
        ]
        read = {name for node in self.nodes for name in node.input}
        stored = [item for item in self.graph.model.graph.initializer if item.name in read]
        sides = [numpy_helper.from_array(np.asarray(values[name]), name) for name in self.sides]
        outputs = [helper.make_tensor_value_info(self.tensor, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "path", inputs, outputs, [*stored, *sides])
        model = helper.make_model(graph, opset_imports=self.graph.model.opset_import)
        model.ir_version = self.graph.model.ir_version
        return model


def _carried(node: NodeProto, behind: Collection[str]) -> list[str] | None:
    """Return the inputs whose values a node passes on; None if it computes new ones."""
    if node.op_type == "Concat":
        return list(node.input)
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        made = [name for name in node.input if name in behind]
        return made if len(made) == 1 else None
    return [node.input[0]] if node.op_type in MOVING | IN_PLACE else None


def _identity(node: NodeProto, tensor: str) -> NodeProto:
    return helper.make_node("Identity", [tensor], [node.output[0]], node.name)


def _marks(shapes: Sequence[tuple[int, ...]]) -> list[list[NDArray[np.float32]]]:
    """Return four feeds of tensors (1, C, H, W): the tensor's index, and channel, y and x of each value."""
    numbers = [[np.full(shape, index, np.float32) for index, shape in enumerate(shapes)]]
    return numbers + [[np.indices(shape, np.float32)[axis] for shape in shapes] for axis in (1, 2, 3)]


def _rows(marks: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return the values of a head of any shape as rows (A, columns)."""
    table = marks.reshape([size for size in marks.shape if size != 1] or [1])
    if table.ndim == 2 and table.shape[0] != count and table.shape[1] == count:
        table = table.T
    return table.reshape(count, -1).astype(np.int64)


def _shapes(
    sizes: NDArray[np.int64], places: NDArray[np.int64], sources: NDArray[np.int64], channels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the index of each row among the rows of its cell, by convolution and channel."""
    keys = np.concatenate([sizes, places], axis=1)
    order = np.lexsort((channels, sources, *keys.T[::-1]))
    first = np.r_[True, (np.diff(keys[order], axis=0) != 0).any(axis=1)]
    starts = np.flatnonzero(first)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return ranks
