"""Image input of a network: its size and layout, and the values to feed it with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto

from trt_ssd_ros.models.onnx_graph import CONVOLUTIONS, OnnxGraph, reads
from trt_ssd_ros.tools.import_model.network_file import described, dimensions

DTYPES: Mapping[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.UINT8: np.uint8,
}


DEFAULT_SIDE = 300
"""Pixels of an image side that the network leaves open."""

Layout = Literal["NHWC", "NCHW"]
Size = tuple[int, int]

Arrays = Mapping[str, NDArray[Any]]
"""Values of tensors by name."""


class EntryError(ValueError):
    """Missing or unsupported image input; the message names the fix."""


def image_input(graph: OnnxGraph, needed: Collection[str]) -> ValueInfoProto:
    """Return the image input.

    Args:
        graph: Graph of the network.
        needed: Names of the tensors that depend on the image.

    Raises:
        EntryError: There is no image input, or the tensors depend on several inputs.
    """
    before = {name for index in graph.before(needed) for name in reads(graph.nodes[index])}
    inputs = [tensor for tensor in graph.inputs if tensor.name in before]
    if len(inputs) != 1:
        listed = ", ".join(tensor.name for tensor in inputs) or "none"
        raise EntryError(
            f"the results depend on {len(inputs)} inputs ({listed}), expected the image alone: name tensors that "
            "depend only on the image with --boxes and --scores"
        )
    if not is_image(inputs[0]):
        raise EntryError(
            f"input {described(inputs[0])}, expected an image of float or uint8, such as [N, H, W, 3]"
        )
    image: ValueInfoProto = inputs[0]
    return image


def is_image(tensor: ValueInfoProto) -> bool:
    """Return whether an input may be an image."""
    return len(dimensions(tensor)) in (3, 4) and tensor.type.tensor_type.elem_type in DTYPES


def size_and_layout(
    graph: OnnxGraph, image: ValueInfoProto, stated: Size | None, resizes: bool = True
) -> tuple[Size, Layout]:
    """Return height and width in pixels, and layout, of a network's input.

    Args:
        graph: Graph of the network.
        image: Image input.
        stated: Height and width in pixels that the user states; None if none.
        resizes: Whether the network resizes its images, and so accepts any size.

    Raises:
        EntryError: The size is unknown, the stated size contradicts the file, or there are not 3 channels.
    """
    dims = dimensions(image)[-3:]
    if dims[0] != 3 and dims[2] == 3:
        layout: Layout = "NHWC"
    elif dims[0] in (3, None):
        layout = "NHWC" if dims == [None] * 3 and is_transposed(graph, image.name) else "NCHW"
    else:
        raise EntryError(f"input {described(image)}, expected 3 channels, first or last")
    height, width = dims[:2] if layout == "NHWC" else dims[1:]
    if stated is not None:
        if any(side not in (None, other) for side, other in zip((height, width), stated, strict=True)):
            raise EntryError(f"input {described(image)}, found --size {stated[0]}x{stated[1]}: omit --size")
        return stated, layout
    if (height is None or width is None) and not resizes:
        raise EntryError(f"input {described(image)} has no fixed size: give --size HEIGHTxWIDTH")
    return (height or DEFAULT_SIDE, width or DEFAULT_SIDE), layout


def is_transposed(graph: OnnxGraph, image: str) -> bool:
    """Return whether a Transpose stands between the image and the first convolution, which needs NCHW."""
    behind = sorted(graph.after([image]))
    first = next((index for index in behind if graph.nodes[index].op_type in CONVOLUTIONS), 0)
    return any(graph.nodes[index].op_type == "Transpose" for index in behind if index < first)


def feed(image: ValueInfoProto, size: Size, layout: Layout, pixels: NDArray[Any]) -> Arrays:
    """Return the network's input for one image of pixels (3,) or (H, W, 3)."""
    plane = np.broadcast_to(pixels, (*size, 3))
    if layout == "NCHW":
        plane = plane.transpose(2, 0, 1)
    array = plane.astype(DTYPES[image.type.tensor_type.elem_type])
    return {image.name: array if len(dimensions(image)) == 3 else array[None]}
