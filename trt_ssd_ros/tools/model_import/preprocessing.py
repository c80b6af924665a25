"""What stands between a network's input and its first convolution: padding, rounding, a resize."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto

from trt_ssd_ros.models.network import opset
from trt_ssd_ros.models.onnx_graph import OnnxGraph

PART_OF_NETWORK = ("Pad", "QuantizeLinear", "DynamicQuantizeLinear", "BatchNormalization")
"""What a network does to pixels that are normalised already. A batch normalisation was trained behind that."""


def before_padding(graph: OnnxGraph, tensor: str) -> str:
    """Return what becomes a tensor by padding, rounding to a quantised type, or a trained normalisation."""
    while (maker := graph.maker(tensor)) is not None:
        source = graph.maker(maker.input[0]) if maker.op_type == "DequantizeLinear" else None
        if maker.op_type not in PART_OF_NETWORK and not (source is not None and source.op_type in PART_OF_NETWORK):
            break
        tensor = maker.input[0]
    return tensor


def resize_mode(graph: OnnxGraph, tensor: str) -> str:
    """Return how the Resize in front of a tensor transforms the coordinates of pixels, as ONNX names it."""
    modes = [
        *(
            mode
            for index in sorted(graph.before([tensor]))
            for mode in _resize_modes(graph.nodes[index], opset(graph.model))
        ),
        "half_pixel",
    ]
    return modes[0] if modes[0] in ("align_corners", "asymmetric") else "half_pixel"


def _resize_modes(node: NodeProto, version: int) -> Iterator[str]:
    if node.op_type == "Upsample" or (node.op_type == "Resize" and version < 11):
        yield "asymmetric"  # the only one that there was
    elif node.op_type == "Resize":
        stated = [item.s.decode() for item in node.attribute if item.name == "coordinate_transformation_mode"]
        yield from stated or ["half_pixel"]
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _resize_modes(inner, version)
