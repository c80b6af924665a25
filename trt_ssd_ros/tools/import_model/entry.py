"""Entry of pixels into a network: its tensor, and the resize and normalisation before the first convolution."""

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
"""Operators that may stay before the first convolution."""


MAX_BORDER = 3
"""Widest zero padding on each side in pixels, as a first convolution of up to 7 x 7 needs it."""
SATURATION_RATIO = 10
"""Ratio of the slopes for a step of 1 and of 255 above which a network saturates for pixels beyond 1."""


@dataclass(frozen=True)
class Normalisation:
    """Normalisation of a pixel before the first convolution: pixel * scale + offset, by channel.

    Attributes:
        scale: Factor of each channel (3,).
        offset: Offset of each channel (3,), added after the factor.
        swaps: Whether the graph swaps the first and the last channel.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    swaps: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether pixels reach the first convolution unchanged, except for quantisation."""
        return bool(np.allclose(self.scale, 1, atol=0.02) and np.allclose(self.offset, 0, atol=0.02))


@dataclass(frozen=True)
class Entry:
    """Entry of pixels into a network.

    Attributes:
        image: Original input of the network.
        fed: Height and width in pixels of the images that the analysis fed to the network.
        size: Height and width in pixels of an image that enters at `tensor`.
        tensor: Name of the tensor that pixels enter at: the input, or the one that the first convolution reads.
        layout: Axis order of `tensor`.
        shape: Shape of `tensor` for one image.
        dtype: Data type of `tensor`.
        inside: Normalisation by the network before its first convolution; its input may be 0 to 1 or 0 to 255.
        why: Description of the part that is cut off; "" if nothing is.
        resize: ONNX coordinate_transformation_mode of the resize that is cut off; "" if none is.
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
    resize: str = ""

    @property
    def takes_bytes(self) -> bool:
        """Whether the network's input is uint8, so that its pixels are 0 to 255."""
        return bool(self.image.type.tensor_type.elem_type == TensorProto.UINT8)

    @property
    def is_cut(self) -> bool:
        """Whether the nodes before `tensor` are cut off."""
        return self.tensor != self.image.name


def find_entry(graph: OnnxGraph, heads: Collection[str], stated: Size | None) -> Entry:
    """Find the entry of pixels into a network.

    Args:
        graph: Graph of the network.
        heads: Names of the tensors that results are read from.
        stated: Height and width in pixels that the user states; None if none.

    Raises:
        EntryError: The network has no image input that is supported.
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
    reasons = cut_reasons(graph, image, tensor)
    if not reasons and (height, width) != size:
        raise EntryError(
            f"the network reads {width}x{height} of the {size[1]}x{size[0]} pixels of its input, expected all of "
            "them: export it without the crop"
        )
    if not reasons:
        size_and_layout(graph, image, stated, resizes=False)
        shape = (1, *size, 3) if layout == "NHWC" else (1, 3, *size)
        dtype = np.dtype(DTYPES[image.type.tensor_type.elem_type])
        return Entry(image, size, size, image.name, layout, shape, dtype, inside, "")
    if None in dimensions(image)[-3:]:
        check_one_size(graph, image, size, layout, reader.input[0])
    why = f"the preprocessing before {tensor!r} ({', '.join(reasons)}) is cut off"
    mode = resize_mode(graph, tensor)
    return Entry(image, size, (height, width), tensor, inner, array.shape, array.dtype, inside, why, mode)


def check_filled(
    graph: OnnxGraph, image: ValueInfoProto, size: Size, layout: Layout, tensor: str
) -> tuple[int, ...]:
    """Return the shape of the tensor that the first convolution reads for an image of some size.

    Raises:
        EntryError: The image does not fill the tensor, apart from a narrow border.
    """
    feeds = (feed(image, size, layout, np.full(3, level)) for level in (0.0, 255.0))
    dark, bright = (measure(graph, pixels, [tensor])[tensor] for pixels in feeds)
    filled = (dark != bright).any(axis=(0, 1 if dark.shape[1] == 3 else 3))
    inner = filled[MAX_BORDER:-MAX_BORDER, MAX_BORDER:-MAX_BORDER]
    if not inner.all():
        raise EntryError(
            "the network letterboxes its images, expected a resize that stretches them: export it without its "
            "resize, with an input of the first convolution's size"
        )
    return dark.shape


def check_one_size(graph: OnnxGraph, image: ValueInfoProto, size: Size, layout: Layout, tensor: str) -> None:
    """Check that the first convolution reads one shape for images of any shape.

    Raises:
        EntryError: The shape depends on the image.
    """
    sizes = (size, (size[0], size[1] * 2))
    shapes = {check_filled(graph, image, other, layout, tensor) for other in sizes}
    if len(shapes) > 1:
        raise EntryError(
            f"the first convolution reads {' or '.join(map(str, sorted(shapes)))}, depending on the image's "
            "shape, expected one shape: export the network with a fixed input size"
        )


def side_tensors(graph: OnnxGraph, entry: Entry, heads: Collection[str]) -> list[str]:
    """Return the tensors that the heads depend on besides the entry, such as the shape of the input."""
    behind = graph.after([entry.tensor])
    before = graph.before(heads, stop=[entry.tensor])
    of_image = graph.after([entry.image.name]) - behind
    crossing = [name for index in sorted(before & behind) for name in reads(graph.nodes[index])]
    return [
        name for name in dict.fromkeys(crossing) if graph.producers.get(name) in of_image and name != entry.tensor
    ]


def first_convolution(graph: OnnxGraph, heads: Collection[str]) -> int:
    """Return the index of the first convolution that the heads depend on."""
    convolutions = [index for index in sorted(graph.before(heads)) if graph.nodes[index].op_type in CONVOLUTIONS]
    if not convolutions:
        raise EntryError("found no convolution before the boxes and scores, expected an SSD")
    return convolutions[0]


def cut_reasons(graph: OnnxGraph, image: ValueInfoProto, tensor: str) -> list[str]:
    """Return the reasons why pixels cannot enter through the network's input; empty if they can."""
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
    """Return the normalisation of a pixel up to a tensor, and the tensor's value for a black image."""
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
    is_saturated = ~np.isfinite(whole) | (np.abs(step) > SATURATION_RATIO * np.abs(whole / 255))
    scale = np.where(is_saturated, step, whole / 255)
    return Normalisation(scale, offset, int(np.argmax(np.abs(first))) == 2), black


def _middle(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the three channels (3,) of the pixel in the middle of an image with a batch axis."""
    planes = image[0] if image.shape[1] == 3 else image[0].transpose(2, 0, 1)
    middle: NDArray[np.float64] = planes[:, planes.shape[1] // 2, planes.shape[2] // 2].astype(np.float64)
    return middle


PART_OF_NETWORK = ("Pad", "QuantizeLinear", "DynamicQuantizeLinear", "BatchNormalization")
"""Operators on normalised pixels; a batch normalisation is trained on these."""


def before_padding(graph: OnnxGraph, tensor: str) -> str:
    """Return the tensor before padding, quantisation and trained normalisation."""
    while (producer := graph.producer(tensor)) is not None:
        source = graph.producer(producer.input[0]) if producer.op_type == "DequantizeLinear" else None
        if not any(node is not None and node.op_type in PART_OF_NETWORK for node in (producer, source)):
            break
        tensor = producer.input[0]
    return tensor


def resize_mode(graph: OnnxGraph, tensor: str) -> str:
    """Return ONNX's coordinate_transformation_mode of the first Resize before a tensor; "" if there is none."""
    modes = [
        mode
        for index in sorted(graph.before([tensor]))
        for mode in _resize_modes(graph.nodes[index], opset(graph.model))
    ]
    if not modes:
        return ""
    return modes[0] if modes[0] in ("align_corners", "asymmetric") else "half_pixel"


def _resize_modes(node: NodeProto, version: int) -> Iterator[str]:
    if node.op_type == "Upsample" or (node.op_type == "Resize" and version < 11):
        yield "asymmetric"  # the only mode before opset 11
    elif node.op_type == "Resize":
        stated = [item.s.decode() for item in node.attribute if item.name == "coordinate_transformation_mode"]
        yield from stated or ["half_pixel"]
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _resize_modes(inner, version)
