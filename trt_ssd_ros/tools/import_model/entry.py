"""Find where pixels enter a network, and how it resizes and normalises them before its first convolution."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto

from trt_ssd_ros.models.network import opset
from trt_ssd_ros.models.onnx_graph import CONVOLUTIONS, OnnxGraph, reads
from trt_ssd_ros.tools.import_model.image_tensor import (
    DTYPES,
    EntryError,
    Layout,
    Size,
    feed,
    image_input,
    size_and_layout,
)
from trt_ssd_ros.tools.import_model.network_file import dimensions
from trt_ssd_ros.tools.import_model.probe import measure

SIMPLE = {
    *("Cast", "Sub", "Add", "Mul", "Div", "Transpose", "Pad", "Identity", "Constant", "BatchNormalization"),
    *("Concat", "Split", "Slice", "Gather", "Unsqueeze", "Squeeze", "Reshape"),
    *("QuantizeLinear", "DequantizeLinear"),
}
"""Operators before the first convolution that may stay in front of it."""


WIDEST_BORDER = 3
"""Rows of zeros that the first convolution's window, of 7 x 7 at most, needs at each side of an image."""
SATURATED = 10
"""Ratio of the changes a level that steps of 1 and of 255 cause, above which a network cuts off all beyond 1."""


@dataclass(frozen=True)
class Normalisation:
    """Normalisation of a pixel before the first convolution: pixel * scale + offset, by channel.

    swaps tells whether the first channel of its input comes last there.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    swaps: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether pixels reach the first convolution with the values that they came with, if quantised."""
        return bool(np.allclose(self.scale, 1, atol=0.02) and np.allclose(self.offset, 0, atol=0.02))


@dataclass(frozen=True)
class Entry:
    """Entry of pixels into a network.

    Attributes:
        image: The network's own input.
        fed: Height and width of the images that it was looked at with.
        size: Height and width of an image that enters at `tensor`.
        tensor: Where pixels are to enter: the input, or what the first convolution reads.
        layout: How `tensor` lays them out.
        shape: Its shape for one image.
        dtype: The type of its numbers.
        inside: What the network does to the input before its first convolution; its input may be 0 to 1.
        why: What is cut off, for people; "" if nothing is.
        resize: The coordinate_transformation_mode with which what is cut off resizes.
    """

    image: ValueInfoProto
    fed: Size
    size: Size
    tensor: str
    layout: Layout
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    inside: Normalisation
    why: str
    resize: str = "half_pixel"

    @property
    def takes_bytes(self) -> bool:
        """Whether the network's own input is uint8, so that its pixels can only be 0 to 255."""
        return bool(self.image.type.tensor_type.elem_type == TensorProto.UINT8)

    @property
    def is_cut(self) -> bool:
        """Whether what stands before `tensor` is cut off."""
        return self.tensor != self.image.name


def find_entry(graph: OnnxGraph, heads: Collection[str], stated: Size | None) -> Entry:
    """Find where pixels enter.

    Raises:
        EntryError: That cannot be told.
        RuntimeError: ONNX Runtime cannot run the network's first layers.
    """
    image = image_input(graph, heads)
    size, layout = size_and_layout(graph, image, stated)
    first = first_convolution(graph, heads)
    reader = graph.nodes[first]
    tensor = before_padding(graph, reader.input[0])
    inside, array = measured(graph, image, size, layout, tensor)
    inner: Layout = "NCHW" if array.shape[1] == 3 else "NHWC"
    height, width = array.shape[2:] if inner == "NCHW" else array.shape[1:3]
    if reader.input[0] != image.name:
        check_filled(graph, image, size, layout, reader.input[0])
    reasons = hindrances(graph, image, tensor)
    if not reasons and (height, width) != size:
        raise EntryError(
            f"the network takes {width}x{height} of the {size[1]}x{size[0]} pixels of its input, expected all of "
            "them: export it without what cuts a part out"
        )
    if not reasons:
        size_and_layout(graph, image, stated, resizes=False)
        shape = (1, *size, 3) if layout == "NHWC" else (1, 3, *size)
        dtype = np.dtype(DTYPES[image.type.tensor_type.elem_type])
        return Entry(image, size, size, image.name, layout, shape, dtype, inside, "")
    if None in dimensions(image)[-3:]:
        check_one_size(graph, image, size, layout, reader.input[0])
    why = f"what stands before {tensor!r} ({', '.join(reasons)}) is cut off"
    mode = resize_mode(graph, tensor)
    return Entry(image, size, (height, width), tensor, inner, array.shape, array.dtype, inside, why, mode)


def check_filled(
    graph: OnnxGraph, image: ValueInfoProto, size: Size, layout: Layout, tensor: str
) -> tuple[int, ...]:
    """Return the shape of what the first convolution reads for an image of some size.

    Raises:
        EntryError: The image does not fill it, but for a narrow border.
    """
    feeds = (feed(image, size, layout, np.full(3, level)) for level in (0.0, 255.0))
    dark, bright = (measure(graph, pixels, [tensor])[tensor] for pixels in feeds)
    filled = (dark != bright).any(axis=(0, 1 if dark.shape[1] == 3 else 3))
    inner = filled[WIDEST_BORDER:-WIDEST_BORDER, WIDEST_BORDER:-WIDEST_BORDER]
    if not inner.all():
        raise EntryError(
            "the network puts bars beside its images (a letterbox), expected that it stretches them: "
            "export it without its resize, for images of the convolutions' size"
        )
    return dark.shape


def check_one_size(graph: OnnxGraph, image: ValueInfoProto, size: Size, layout: Layout, tensor: str) -> None:
    """Check that the first convolution reads as much of images of another shape, too.

    Raises:
        EntryError: It does not.
    """
    sizes = (size, (size[0], size[1] * 2))
    shapes = {check_filled(graph, image, other, layout, tensor) for other in sizes}
    if len(shapes) > 1:
        raise EntryError(
            f"the first convolution reads {' or '.join(map(str, sorted(shapes)))}, by the image's shape, expected "
            "one size: export the network for images of one size"
        )


def side_tensors(graph: OnnxGraph, entry: Entry, heads: Collection[str]) -> list[str]:
    """Return the tensors that the heads depend on besides where pixels enter, such as the input's own shape."""
    behind = graph.after([entry.tensor])
    before = graph.before(heads, stop=[entry.tensor])
    of_image = graph.after([entry.image.name]) - behind
    crossing = [name for index in sorted(before & behind) for name in reads(graph.nodes[index])]
    return [
        name for name in dict.fromkeys(crossing) if graph.makers.get(name) in of_image and name != entry.tensor
    ]


def first_convolution(graph: OnnxGraph, heads: Collection[str]) -> int:
    """Return the index of the convolution that every other one of the results comes after."""
    convolutions = [index for index in sorted(graph.before(heads)) if graph.nodes[index].op_type in CONVOLUTIONS]
    if not convolutions:
        raise EntryError("no convolution leads to the boxes and scores: this is no SSD")
    return convolutions[0]


def hindrances(graph: OnnxGraph, image: ValueInfoProto, tensor: str) -> list[str]:
    """Say why pixels cannot enter through the network's own input."""
    found = sorted({graph.nodes[index].op_type for index in graph.before([tensor])} - SIMPLE)
    dims = dimensions(image)
    if len(dims) == 3:
        found.append("no batch")
    if image.type.tensor_type.elem_type == TensorProto.UINT8:
        found.append("uint8")
    return found


def measured(
    graph: OnnxGraph, image: ValueInfoProto, size: Size, layout: Layout, tensor: str
) -> tuple[Normalisation, NDArray[Any]]:
    """Return what becomes of a pixel on its way to a tensor, and that tensor's value for a black image."""
    if tensor == image.name:
        black = feed(image, size, layout, np.zeros(3))[tensor]
        return Normalisation(np.ones(3), np.zeros(3)), black
    levels = (np.zeros(3), np.ones(3), np.full(3, 255.0), np.array([255.0, 0, 0]))
    black, dark, bright, red = (
        measure(graph, feed(image, size, layout, level), [tensor])[tensor] for level in levels
    )
    if black.ndim != 4 or 3 not in (black.shape[1], black.shape[3]):
        raise EntryError(f"the first convolution reads {tensor} of shape {black.shape}, expected 3 channels")
    offset = _middle(black)
    step, whole, first = (_middle(array) - offset for array in (dark, bright, red))
    is_saturated = ~np.isfinite(whole) | (np.abs(step) > SATURATED * np.abs(whole / 255))
    scale = np.where(is_saturated, step, whole / 255)
    return Normalisation(scale, offset, int(np.argmax(np.abs(first))) == 2), black


def _middle(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the three channels of the pixel in the middle of an image with a batch."""
    planes = image[0] if image.shape[1] == 3 else image[0].transpose(2, 0, 1)
    middle: NDArray[np.float64] = planes[:, planes.shape[1] // 2, planes.shape[2] // 2].astype(np.float64)
    return middle


PART_OF_NETWORK = ("Pad", "QuantizeLinear", "DynamicQuantizeLinear", "BatchNormalization")
"""Operators on pixels that are normalised already. A batch normalisation was trained behind that."""


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
