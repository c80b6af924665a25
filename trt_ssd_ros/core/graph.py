"""Compose a detector's ONNX and its model card into one graph from camera bytes to final boxes.

Inputs of the composed graph (N images of H x W pixels, C classes):
    image            uint8 [N, H, W, 3]  camera pixels as they came
    channel_order    int32 [3]           where red, green and blue stand: [0, 1, 2] for rgb, [2, 1, 0] for bgr
    class_threshold  float32 [C]         lowest score reported for each class; above 1 switches a class off
    iou_threshold    float32 [1]         overlap above which NMS drops the lesser box of a class

Outputs (M candidates, best first):
    boxes            float32 [N, M, 4]   x1 y1 x2 y2, normalised to the image, not clipped to it
    scores           float32 [N, M]      0 where the slot is empty
    class_ids        int32 [N, M]        index into the card's labels
    keep             int32 [N, M]        1 where the candidate survives NMS
    settled          int32 [N]           0 where NMS had not reached its fixed point

The operators are those of opset 17 that ONNX Runtime and TensorRT 8.5 to 11 all run, with static shapes behind
the resize; see docs/architecture.md for what is avoided and why.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.core.graph_builder import GraphBuilder
from trt_ssd_ros.core.model_card import ModelCard, ModelCardError
from trt_ssd_ros.core.network import as_graph_opset, batch_size, check_fit, input_type
from trt_ssd_ros.core.one_line import one_line

NMS_ROUNDS = 12
COORDINATE_LIMIT = 1e4
"""Candidates with a corner further out than this many image sizes, or not a number, are empty slots."""


def compose(network: onnx.ModelProto, card: ModelCard, candidates: int | None = None) -> onnx.ModelProto:
    """Build the self-contained graph that is described at the top of this module.

    Args:
        network: The detector as its card describes it.
        card: The detector's card.
        candidates: Boxes that enter NMS, instead of the card's number.

    Raises:
        ModelCardError: The card does not fit the network: tensor names, sizes, prior or class count.
    """
    priors = card.priors.priors(card.input.height, card.input.width)
    check_fit(network, card, len(priors))
    total = len(priors) * len(card.labels)
    count = min(candidates or card.defaults.candidates, total)
    batch = batch_size(network, card)
    network = as_graph_opset(network)
    graph = GraphBuilder()
    graph.input("image", TensorProto.UINT8, [batch, "H", "W", 3])
    graph.input("channel_order", TensorProto.INT32, [3])
    graph.input("class_threshold", TensorProto.FLOAT, [len(card.labels)])
    graph.input("iou_threshold", TensorProto.FLOAT, [1])
    pixels = graph("Cast", _preprocess(graph, card), to=input_type(network, card))
    graph.splice(network, card.input.tensor, pixels)
    scores = _convert_scores(graph, card)
    best, anchors, class_ids = _best_candidates(graph, scores, total, len(card.labels), count)
    boxes = _decode(graph, card, priors, anchors)
    boxes, scores = _drop_unusable(graph, boxes, best)
    keep, settled = _suppress(graph, boxes, scores, class_ids, count)
    graph.output("boxes", boxes, TensorProto.FLOAT, [batch, count, 4])
    graph.output("scores", scores, TensorProto.FLOAT, [batch, count])
    graph.output("class_ids", class_ids, TensorProto.INT32, [batch, count])
    graph.output("keep", keep, TensorProto.INT32, [batch, count])
    graph.output("settled", settled, TensorProto.INT32, [batch])
    try:
        return graph.model(card.name)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = one_line(error)
        raise ModelCardError(
            "onnx", f"a network that does not fit in ({reason})", "one float input, operators of opset 17"
        ) from error


def _preprocess(graph: GraphBuilder, card: ModelCard) -> str:
    """Resize and normalise. Channels are handled as planes: as the innermost axis they take ten times as long."""
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


def _convert_scores(graph: GraphBuilder, card: ModelCard) -> str:
    """Return scores [N, A, C] without the background, 0 where they do not pass their class threshold."""
    scores = graph("Cast", f"network/{card.outputs.scores}", to=TensorProto.FLOAT)
    if card.outputs.score_conversion == "softmax":
        scores = graph("Softmax", scores, axis=2)
    if card.outputs.background != "none":
        first = 1 if card.outputs.background == "first" else 0
        bounds = ([first], [first + len(card.labels)], [2])
        scores = graph("Slice", scores, *(graph.constant(bound, np.int64) for bound in bounds))
    if card.outputs.score_conversion == "sigmoid":
        scores = graph("Sigmoid", scores)
    passes = graph("GreaterOrEqual", scores, "class_threshold")
    return graph("Where", passes, scores, graph.constant(0.0))


def _best_candidates(
    graph: GraphBuilder, scores: str, total: int, classes: int, count: int
) -> tuple[str, str, str]:
    """Return scores, anchor indices and class ids [N, M] of the best of all pairs of anchor and class.

    In two stages: the best of each of several rows, then the best of those. A GPU searches the rows side by side,
    which takes a third of the time; equal scores come in the order of their indices, as from one search.
    """
    rows = _row_count(total, count)
    most = min(count, total // rows)
    table = graph("Reshape", scores, graph.constant([0, rows, -1], np.int64))
    row_best, columns = graph.multiple(2, "TopK", table, graph.constant([most], np.int64), axis=2)
    row_starts = np.arange(0, total, total // rows)[None, :, None]
    indices = graph("Add", columns, graph.constant(row_starts, np.int64))
    flat, flat_indices = (graph("Reshape", x, graph.constant([0, -1], np.int64)) for x in (row_best, indices))
    best, positions = graph.multiple(2, "TopK", flat, graph.constant([count], np.int64), axis=1)
    chosen = graph("GatherElements", flat_indices, positions, axis=1)
    divisor = graph.constant(classes, np.int64)
    anchors = graph("Div", chosen, divisor)
    class_ids = graph("Sub", chosen, graph("Mul", anchors, divisor))
    return best, anchors, graph("Cast", class_ids, to=TensorProto.INT32)


def _row_count(total: int, count: int) -> int:
    """Return how many rows of one length `total` scores are laid out in, for the least work in both stages."""
    divisors = [rows for rows in range(1, isqrt(total) + 1) if total % rows == 0]
    return min(divisors, key=lambda rows: total // rows + rows * min(count, total // rows))


def _decode(graph: GraphBuilder, card: ModelCard, priors: NDArray[np.float32], anchors: str) -> str:
    """Decode the candidates' boxes to x1 y1 x2 y2 (SSD, Liu et al. 2016, section 2.2)."""
    order = [card.outputs.box_order.index(letter) for letter in "xywh"]
    scales = np.array(card.outputs.box_scales)[order]
    index = graph("Unsqueeze", anchors, graph.constant([2], np.int64))
    heads = graph("Cast", f"network/{card.outputs.boxes}", to=TensorProto.FLOAT)
    encoded = graph("GatherND", heads, index, batch_dims=1)
    if order != [0, 1, 2, 3]:
        encoded = graph("Gather", encoded, graph.constant(order, np.int64), axis=2)
    halves = graph.constant([2, 2], np.int64)
    offset, log_size = graph.multiple(2, "Split", graph("Div", encoded, graph.constant(scales)), halves, axis=2)
    prior_centre = graph("Gather", graph.constant(priors[:, :2]), anchors, axis=0)
    prior_size = graph("Gather", graph.constant(priors[:, 2:]), anchors, axis=0)
    centre = graph("Add", graph("Mul", offset, prior_size), prior_centre)
    half = graph("Mul", graph("Mul", graph("Exp", log_size), prior_size), graph.constant(0.5))
    return graph("Concat", graph("Sub", centre, half), graph("Add", centre, half), axis=2)


def _drop_unusable(graph: GraphBuilder, boxes: str, scores: str) -> tuple[str, str]:
    """Empty the slots whose box is not finite; a comparison with NaN is false."""
    inside = graph("LessOrEqual", graph("Abs", boxes), graph.constant(COORDINATE_LIMIT))
    corners = graph("Cast", inside, to=TensorProto.FLOAT)
    usable = graph("Greater", graph("ReduceMin", corners, axes=[2]), graph.constant(0.5))
    usable_slots = graph("Reshape", usable, graph.constant([0, -1], np.int64))
    zero = graph.constant(0.0)
    return graph("Where", usable, boxes, zero), graph("Where", usable_slots, scores, zero)


def _suppress(graph: GraphBuilder, boxes: str, scores: str, class_ids: str, count: int) -> tuple[str, str]:
    """Greedy NMS as a fixed point: keep the valid boxes that no kept better box of their class overlaps.

    Round t settles the t-th box of every chain of suppressions, so a round that changes nothing has found greedy
    NMS; `settled` tells whether the last one did. The boxes stand in a row: as a column, each round takes three
    times as long on a GPU.
    """
    overlap = _overlap_mask(graph, boxes, class_ids, count)
    zero, half = graph.constant(0.0), graph.constant(0.5)
    row = graph("Unsqueeze", scores, graph.constant([1], np.int64))
    valid = graph("Cast", graph("Greater", row, zero), to=TensorProto.FLOAT)
    keep = before = valid
    for _ in range(NMS_ROUNDS):
        before = keep
        unopposed = graph("Less", graph("MatMul", keep, overlap), half)
        keep = graph("Where", unopposed, valid, zero)
    change = graph("ReduceMax", graph("Abs", graph("Sub", keep, before)), axes=[1, 2], keepdims=0)
    settled = graph("Cast", graph("Less", change, half), to=TensorProto.INT32)
    flat = graph("Reshape", keep, graph.constant([0, -1], np.int64))
    return graph("Cast", flat, to=TensorProto.INT32), settled


def _overlap_mask(graph: GraphBuilder, boxes: str, class_ids: str, count: int) -> str:
    """Return [N, M, M] float, 1 where the row's box is better and would suppress the column's."""
    rows = graph.multiple(4, "Split", boxes, graph.constant([1, 1, 1, 1], np.int64), axis=2)
    columns = [graph("Transpose", row, perm=[0, 2, 1]) for row in rows]
    zero = graph.constant(0.0)
    width, height = (
        graph("Max", graph("Sub", graph("Min", rows[b], columns[b]), graph("Max", rows[a], columns[a])), zero)
        for a, b in ((0, 2), (1, 3))
    )
    intersection = graph("Mul", width, height)
    area = graph("Mul", graph("Sub", rows[2], rows[0]), graph("Sub", rows[3], rows[1]))
    both = graph("Add", area, graph("Transpose", area, perm=[0, 2, 1]))
    limit = graph("Mul", graph("Sub", both, intersection), "iou_threshold")
    class_row = graph("Unsqueeze", class_ids, graph.constant([2], np.int64))
    same_class = graph("Equal", class_row, graph("Transpose", class_row, perm=[0, 2, 1]))
    better = graph.constant(np.tri(count, k=-1, dtype=np.bool_).T[None], np.bool_)
    overlap = graph("And", graph("And", graph("Greater", intersection, limit), same_class), better)
    return graph("Cast", overlap, to=TensorProto.FLOAT)
