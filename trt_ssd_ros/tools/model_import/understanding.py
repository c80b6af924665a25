"""Understand a network: where pixels enter it, where its boxes and scores are, and what is to be cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.core.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.model_import.network_entry import (
    CONVOLUTIONS,
    Entry,
    EntryError,
    feed,
    find_entry,
    image_input,
    side_tensors,
    size_and_layout,
)
from trt_ssd_ros.tools.model_import.network_file import dimensions, inventory
from trt_ssd_ros.tools.model_import.network_probe import measure
from trt_ssd_ros.tools.model_import.nms_plugins import from_plugin
from trt_ssd_ros.tools.model_import.ssd_families import families_with
from trt_ssd_ros.tools.model_import.ssd_heads import (
    CONVOLUTION_LIKE,
    LAYOUT,
    Heads,
    NotFoundError,
    as_arrays,
    from_inside,
    from_names,
    from_onnx_nms,
    from_outputs,
)
from trt_ssd_ros.tools.model_import.standard_network import StandardNetwork, standard_network


@dataclass(frozen=True)
class Understood:
    """A network and what was found in it.

    Attributes:
        graph: The network as it was read.
        entry: Where its pixels enter.
        heads: Where its results are.
        values: What these are for a photo.
        network: The network as it goes to the card.
    """

    graph: OnnxGraph
    entry: Entry
    heads: Heads
    values: Mapping[str, NDArray[Any]]
    network: StandardNetwork


def understand(graph: OnnxGraph, photo: NDArray[np.uint8], stated: Mapping[str, Any]) -> Understood:
    """Find entry and heads, and bring the network into form.

    Raises:
        ValueError: They cannot be told; lists what is in the network.
    """
    try:
        heads, values = find_heads(graph, photo, stated)
        needed = [heads.boxes, *filter(None, [heads.scores])]
        entry = find_entry(graph, needed, stated.get("size"))
        sides = fixed_values(graph, photo, stated, side_tensors(graph, entry, needed))
        network = standard_network(graph, entry, heads, values, sides)
    except (NotFoundError, EntryError) as error:
        raise ValueError(f"{error}\n{inventory(graph)}") from error
    return Understood(graph, entry, heads, values, network)


def find_heads(
    graph: OnnxGraph, photo: NDArray[np.uint8], stated: Mapping[str, Any]
) -> tuple[Heads, Mapping[str, NDArray[Any]]]:
    """Find boxes and scores, and what they are for a photo."""
    if bool(stated.get("boxes")) != bool(stated.get("scores")):
        raise NotFoundError("--boxes and --scores go together")
    heads = from_names(graph, stated["boxes"], stated["scores"]) if stated.get("boxes") else from_plugin(graph)
    if heads is None:
        values = values_of(graph, photo, stated, tail_tensors(graph))
        shapes = as_arrays(values)
        inside, nms = from_inside(graph, shapes), from_onnx_nms(graph, shapes)
        known = inside if inside and fits_a_family(graph, shapes[inside.boxes], stated) else None
        heads = from_outputs(graph, shapes) or known or nms or inside
    else:
        wanted = [heads.boxes, heads.scores, *([heads.priors.tensor] if heads.priors else [])]
        values = values_of(graph, photo, stated, wanted)
    if heads is None:
        raise NotFoundError(
            "no pair of tensors in this network looks like boxes and scores: name them with --boxes and --scores"
        )
    return heads, values


def values_of(
    graph: OnnxGraph, photo: NDArray[np.uint8], stated: Mapping[str, Any], tensors: list[str]
) -> Mapping[str, NDArray[Any]]:
    """Run the network on a photo, only roughly normalised, and return some of its tensors."""
    if not tensors:
        return {}
    fixed = [name for name in tensors if name in graph.constants]
    made = [name for name in tensors if name not in graph.constants]
    image = image_input(graph, made)
    size, layout = size_and_layout(graph, image, stated.get("size"))
    pixels = cv2.resize(photo, size[::-1]).astype(np.float64)
    if image.type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        pixels = pixels / 127.5 - 1
    feeds = feed(image, size, layout, pixels)
    constants = {name: onnx.numpy_helper.to_array(stored(graph, name)) for name in fixed}
    return {**measure(graph, feeds, made), **constants}


def fixed_values(
    graph: OnnxGraph, photo: NDArray[np.uint8], stated: Mapping[str, Any], tensors: list[str]
) -> Mapping[str, NDArray[Any]]:
    """Return the values of tensors that no image changes.

    Raises:
        NotFoundError: An image does.
    """
    values, others = (values_of(graph, image, stated, tensors) for image in (photo, np.invert(photo)))
    changing = [name for name, value in values.items() if not np.array_equal(value, others[name])]
    if changing:
        raise NotFoundError(f"boxes and scores depend on pixels in two ways, also through {', '.join(changing)}")
    return values


def stored(graph: OnnxGraph, name: str) -> onnx.TensorProto:
    """Return a tensor that is stored in the file."""
    maker = graph.maker(name)
    held = [item.t for item in maker.attribute if item.name == "value"] if maker else graph.model.graph.initializer
    tensor: onnx.TensorProto = next(item for item in held if maker or item.name == name)
    return tensor


def tail_tensors(graph: OnnxGraph) -> list[str]:
    """Return the tensors behind the last convolutions that may be heads."""
    convolutions = [index for index, node in enumerate(graph.nodes) if node.op_type in CONVOLUTIONS]
    before = graph.before(name for index in convolutions for name in graph.nodes[index].input)
    likely = LAYOUT | CONVOLUTION_LIKE | {"Sigmoid", "Softmax"}
    tail = [node for index, node in enumerate(graph.nodes) if index not in before and node.op_type in likely]
    outputs = [tensor.name for tensor in graph.model.graph.output]
    return [*dict.fromkeys([*outputs, *(node.output[0] for node in tail)])]


def fits_a_family(graph: OnnxGraph, shape: tuple[int, ...], stated: Mapping[str, Any]) -> bool:
    """Tell whether some family has as many prior boxes as a tensor of this shape holds boxes."""
    # The count of most families tells the size, too: they are tried with those that SSDs have.
    sizes = {(side, side) for side in (300, 320, 512, 640)} | ({stated["size"]} if stated.get("size") else set())
    dims = dimensions(graph.inputs[0])[-3:]
    sizes |= {(a, b) for a, b in (dims[:2], dims[1:]) if a and b}
    return any(families_with(shape[1], *size) for size in sizes)
