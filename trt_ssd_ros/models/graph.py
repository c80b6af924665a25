"""Composition of a detector's ONNX and its model card into one graph, from camera bytes to final boxes.

Inputs of the composed graph (N images of H x W pixels, C classes):
    image            uint8 [N, H, W, 3]  camera pixels, unconverted
    channel_order    int32 [3]           where red, green and blue stand: [0, 1, 2] for rgb, [2, 1, 0] for bgr
    class_threshold  float32 [C]         lowest score reported for each class; above 1 switches a class off
    iou_threshold    float32 [1]         overlap above which NMS suppresses the lower-scored box of a class

Outputs (M candidates, best first):
    boxes            float32 [N, M, 4]   x1 y1 x2 y2, normalised to the image, not clipped to it
    scores           float32 [N, M]      0 where the slot is empty
    class_ids        int32 [N, M]        index into the card's labels
    keep             int32 [N, M]        1 where the candidate survives NMS
    settled          int32 [N]           0 where NMS had not reached its fixed point

The number of candidates M is fixed, because TensorRT wants shapes that do not depend on values. For an engine that
takes any shapes, M can follow the images (`only_filled`).

The operators are those of opset 17 that ONNX Runtime and TensorRT 8.5 to 11 all run. Shapes after the resize are
static. docs/architecture.md lists the operators to avoid, with reasons.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.models.card import FinalDetections, ModelCard, ModelCardError
from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.models.graph_candidates import best_candidates
from trt_ssd_ros.models.graph_nms import better_mask, mask_invalid_boxes, suppress
from trt_ssd_ros.models.network import as_graph_opset, batch_size, box_count, check_fit, input_type


def compose(
    network: onnx.ModelProto, card: ModelCard, candidates: int | None = None, only_filled: bool = False
) -> onnx.ModelProto:
    """Build the composed graph that the module docstring describes.

    Args:
        network: Network of the detector.
        card: Model card of the detector.
        candidates: Number of boxes that enter NMS; None for the card's number.
        only_filled: Whether M follows the images: one more than the fullest image of the batch fills, at most
            `candidates`.

    Raises:
        ModelCardError: Tensor names, sizes, prior count or class count of the card do not match the network.
    """
    check_fit(network, card)
    boxes = box_count(network, card)
    total = boxes if isinstance(card.outputs, FinalDetections) else boxes * len(card.labels)
    count = min(candidates or card.defaults.candidates, total)
    batch = batch_size(network, card)
    network = as_graph_opset(network)
    graph = GraphBuilder()
    pixels = _network_input(graph, network, card)
    graph.input("class_threshold", TensorProto.FLOAT, [len(card.labels)])
    graph.input("iou_threshold", TensorProto.FLOAT, [1])
    graph.splice(network, card.input.tensor, pixels)
    best = best_candidates(graph, card, boxes, count, only_filled)
    better = better_mask(graph, count, best.slots if only_filled else "")
    corners, scores = mask_invalid_boxes(graph, best.boxes, best.scores)
    keep, settled = suppress(graph, corners, scores, best.class_ids, better, _iou_threshold(graph, card))
    slots: int | str = "M" if only_filled else count
    graph.output("boxes", corners, TensorProto.FLOAT, [batch, slots, 4])
    graph.output("scores", scores, TensorProto.FLOAT, [batch, slots])
    graph.output("class_ids", best.class_ids, TensorProto.INT32, [batch, slots])
    graph.output("keep", keep, TensorProto.INT32, [batch, slots])
    graph.output("settled", settled, TensorProto.INT32, [batch])
    try:
        return graph.model(card.name)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = one_line(error)
        raise ModelCardError(
            "onnx", f"a network that cannot be composed ({reason})", "one float input and operators of opset 17"
        ) from error


def compose_input(network: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """Build the preprocessing of the composed graph alone, from `image` and `channel_order` to `network_input`.

    Raises:
        ModelCardError: The card does not match the network.
    """
    check_fit(network, card)
    graph = GraphBuilder()
    pixels = _network_input(graph, network, card)
    shape = [batch_size(network, card), *card.input.shape]
    graph.output("network_input", pixels, input_type(network, card), shape)
    return graph.model(card.name)


def _network_input(graph: GraphBuilder, network: onnx.ModelProto, card: ModelCard) -> str:
    graph.input("image", TensorProto.UINT8, [batch_size(network, card), "H", "W", 3])
    graph.input("channel_order", TensorProto.INT32, [3])
    return graph("Cast", _preprocess(graph, card), to=input_type(network, card))


def _preprocess(graph: GraphBuilder, card: ModelCard) -> str:
    """Add the resize and the normalisation."""
    # Channels are separate planes: as the innermost axis, they take ten times as long.
    spec = card.input
    pixels = graph("Cast", "image", to=TensorProto.FLOAT)
    batch = graph("Slice", graph("Shape", "image"), graph.constant([0], np.int64), graph.constant([1], np.int64))
    size = graph("Concat", batch, graph.constant([spec.height, spec.width, 3], np.int64), axis=0)
    resized = graph("Resize", pixels, "", "", size, mode="linear", coordinate_transformation_mode=spec.resize)
    order = "channel_order"
    if spec.channel_order == "bgr":
        order = graph("Gather", order, graph.constant([2, 1, 0], np.int64), axis=0)
    ordered = graph("Gather", graph("Transpose", resized, perm=[0, 3, 1, 2]), order, axis=1)
    scale, mean = np.reshape(spec.scale, (1, 3, 1, 1)), np.reshape(spec.mean, (1, 3, 1, 1))
    normalised = graph("Add", graph("Mul", ordered, graph.constant(scale)), graph.constant(-mean * scale))
    return normalised if spec.layout == "NCHW" else graph("Transpose", normalised, perm=[0, 2, 3, 1])


def _iou_threshold(graph: GraphBuilder, card: ModelCard) -> str:
    """Return the tensor of the IoU threshold; if the network has its own NMS, at least 1, to suppress none."""
    if isinstance(card.outputs, FinalDetections):
        return graph("Max", "iou_threshold", graph.constant(1.0))
    return "iou_threshold"
