"""Small networks with the exact shapes, names and post-processing of each family of SSDs, and random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


@dataclass
class Net:
    """An ONNX graph in the making; calling it adds an operator."""

    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __call__(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def multiple(self, outputs: Sequence[str], operator: str, *inputs: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, outputs, outputs[0], **attributes))

    def constant(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def reshaped(self, tensor: str, *shape: int, name: str = "") -> str:
        return self("Reshape", tensor, self.constant(shape, np.int64), name=name)

    def convolved(
        self, tensor: str, channels: int, *, size: int = 1, stride: int = 1, pad: int = 0, gain: float = 1.5
    ) -> str:
        fan_in = self.channels[tensor] * size * size
        weights = self.rng.standard_normal((channels, self.channels[tensor], size, size)) * gain / fan_in**0.5
        bias = self.rng.standard_normal(channels) * 0.5
        result = self(
            "Conv",
            tensor,
            self.constant(weights),
            self.constant(bias),
            strides=[stride] * 2,
            pads=[0, 0, pad, pad],
        )
        self.channels[result] = channels
        return result

    @property
    def channels(self) -> dict[str, int]:
        return self.__dict__.setdefault("_channels", {})

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "ssd", self.inputs, self.outputs, self.constants)
        ir_version = 4 if self.opset < 10 else 8
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir_version)


@dataclass(frozen=True)
class Anatomy:
    """Side of the square input, cells along each feature map, boxes per cell, and score columns."""

    side: int
    maps: tuple[int, ...]
    boxes: tuple[int, ...]
    columns: int

    @property
    def count(self) -> int:
        return sum(cells**2 * boxes for cells, boxes in zip(self.maps, self.boxes, strict=True))


SSD_300 = (19, 10, 5, 3, 2, 1)
TF_300 = Anatomy(300, SSD_300, (3, 6, 6, 6, 6, 6), 91)
FPN_320 = Anatomy(320, (40, 20, 10, 5, 3), (6,) * 5, 91)
VGG_300 = Anatomy(300, (38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), 91)
SSDLITE_320 = Anatomy(320, (20, 10, 5, 3, 2, 1), (6,) * 6, 91)
PYTORCH_300 = Anatomy(300, SSD_300, (6,) * 6, 21)


def heads(
    net: Net,
    image: str,
    anatomy: Anatomy,
    *,
    names: tuple[str, str] = ("boxes", "scores"),
    unit: float = 1.0,
    shape_by_shape: bool = False,
) -> tuple[str, str]:
    """Add convolutions and heads on an NCHW image whose numbers are around `unit`.

    Returns:
        The names of box encodings [N, A, 4] and logits [N, A, columns]; of [N, 4, A] and [N, columns, A] if they
        come `shape_by_shape`, not cell by cell.
    """
    rows, axis = (head_columns, 2) if shape_by_shape else (head_rows, 1)
    boxes, scores = zip(*head_levels(net, image, anatomy, unit, rows), strict=True)
    return net("Concat", *boxes, name=names[0], axis=axis), net("Concat", *scores, name=names[1], axis=axis)


def head_levels(
    net: Net, image: str, anatomy: Anatomy, unit: float, rows: Callable[[Net, str, int], str]
) -> Iterator[tuple[str, str]]:
    """Add convolutions and heads; yield box encodings and logits of each feature map."""
    net.channels[image] = 3
    stride = -(-anatomy.side // anatomy.maps[0])
    pad = anatomy.maps[0] * stride - anatomy.side
    feature = net("Relu", net.convolved(image, 8, size=stride, stride=stride, pad=pad, gain=1.5 / unit))
    net.channels[feature] = 8
    for index, (cells, per_cell) in enumerate(zip(anatomy.maps, anatomy.boxes, strict=True)):
        if index:
            step = -(-anatomy.maps[index - 1] // cells)
            pad = cells * step - anatomy.maps[index - 1]
            feature = net("Relu", net.convolved(feature, 8, size=step, stride=step, pad=pad))
            net.channels[feature] = 8
        yield (
            rows(net, net.convolved(feature, per_cell * 4), 4),
            rows(net, net.convolved(feature, per_cell * anatomy.columns), anatomy.columns),
        )


def head_columns(net: Net, head: str, columns: int) -> str:
    return net.reshaped(head, 0, columns, -1)


def head_rows(net: Net, head: str, columns: int) -> str:
    return net.reshaped(net("Transpose", head, perm=[0, 2, 3, 1]), 0, -1, columns)


def raw_network(
    anatomy: Anatomy,
    *,
    layout: str = "NHWC",
    batch: int | str = "N",
    opset: int = 17,
    names: tuple[str, str, str] = ("image", "boxes", "scores"),
    unit: float = 1.0,
) -> onnx.ModelProto:
    """Build a network that ends in its raw heads."""
    net = Net(opset)
    side = anatomy.side
    image = net.input(names[0], [batch, side, side, 3] if layout == "NHWC" else [batch, 3, side, side])
    if layout == "NHWC":
        image = net("Transpose", image, perm=[0, 3, 1, 2])
    heads(net, image, anatomy, names=names[1:], unit=unit)
    net.output(names[1], [batch, anatomy.count, 4])
    net.output(names[2], [batch, anatomy.count, anatomy.columns])
    return net.model()


def decoded(net: Net, boxes: str, priors: np.ndarray, *, name: str, order: str = "xyxy", unit: float = 1.0) -> str:
    """Add the decoding of x y w h encodings (variances .1 .1 .2 .2) to corners in `order`."""
    centre = net("Slice", boxes, *(net.constant([n], np.int64) for n in (0, 2, 2)))
    size = net("Slice", boxes, *(net.constant([n], np.int64) for n in (2, 4, 2)))
    sizes, tenth, fifth = net.constant(priors[None, :, 2:]), net.constant(0.1), net.constant(0.2)
    centre = net("Add", net("Mul", net("Mul", centre, tenth), sizes), net.constant(priors[None, :, :2]))
    half = net("Mul", net("Mul", net("Exp", net("Mul", size, fifth)), sizes), net.constant(0.5))
    corners = net("Concat", net("Sub", centre, half), net("Add", centre, half), axis=2)
    if order == "yxyx":
        corners = net("Gather", corners, net.constant([1, 0, 3, 2], np.int64), axis=2)
    return net("Mul", corners, net.constant(unit), name=name)


def grid_priors(anatomy: Anatomy) -> np.ndarray:
    """Return priors (A, 4) x y w h, of no published family."""
    rows = [
        ((x + 0.5) / cells, (y + 0.5) / cells, (0.6 + shape / 4) / cells, (0.8 - shape / 20) / cells)
        for cells, boxes in zip(anatomy.maps, anatomy.boxes, strict=True)
        for y in range(cells)
        for x in range(cells)
        for shape in range(boxes)
    ]
    return np.array(rows)


TINY = Anatomy(64, (8, 4), (3, 3), 4)
PRIORS = grid_priors(TINY)
CORNERS = np.concatenate([PRIORS[:, :2] - PRIORS[:, 2:] / 2, PRIORS[:, :2] + PRIORS[:, 2:] / 2], axis=1)
VARIANCES = np.tile([0.1, 0.1, 0.2, 0.2], (TINY.count, 1))


def nchw(net: Net, anatomy: Anatomy, name: str = "image", batch: int | str = "N") -> str:
    return net.input(name, [batch, 3, anatomy.side, anatomy.side])


def decoded_network(net: Net, image: str, names: tuple[str, str] = ("corners", "scores")) -> onnx.ModelProto:
    boxes, logits = heads(net, image, TINY, names=("raw", "logits"))
    net("Softmax", logits, name=names[1], axis=2)
    decoded(net, boxes, PRIORS, name=names[0])
    net.output(names[1], ["N", TINY.count, 4])
    net.output(names[0], ["N", TINY.count, 4])
    return net.model()
