"""Candidate selection of the composed graph: the best boxes from outputs of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.models.card import Boxes, DecodedBoxes, FinalDetections, ModelCard, RawHeads
from trt_ssd_ros.models.graph_builder import GraphBuilder


class Candidates(NamedTuple):
    """Names of the candidates' tensors, best candidate first.

    Attributes:
        boxes: Tensor [N, M, 4] of x1 y1 x2 y2.
        scores: Tensor [N, M] of scores.
        class_ids: Tensor [N, M] of class ids.
        slots: Tensor [1] of int64: M.
    """

    boxes: str
    scores: str
    class_ids: str
    slots: str


class _Scores(NamedTuple):
    """Names of the tensors [N, A, C] of all scores, and of bool: which of them reach their class threshold."""

    scores: str
    passes: str


def best_candidates(
    graph: GraphBuilder, card: ModelCard, boxes: int, count: int, only_filled: bool = False
) -> Candidates:
    """Add the selection of the `count` best candidates from the network's outputs of `boxes` boxes.

    If `only_filled`, there is one more than the fullest image of the batch has passing scores, at most `count`.
    """
    outputs, classes = card.outputs, len(card.labels)
    if isinstance(outputs, FinalDetections):
        return _of_detections(graph, outputs, classes, boxes, count, only_filled)
    scores = _convert_scores(graph, outputs, classes)
    best, anchors, class_ids, slots = _best_of(graph, scores, boxes * classes, classes, count, only_filled)
    if isinstance(outputs, RawHeads):
        priors = card.prior_boxes()
        corners = _decoded(graph, outputs, priors, anchors)
    else:
        corners = _corners(graph, outputs, anchors)
    return Candidates(_clip(graph, corners) if outputs.clip_before_nms else corners, best, class_ids, slots)


def _convert_scores(graph: GraphBuilder, outputs: Boxes, classes: int) -> _Scores:
    """Return the scores without background."""
    scores = graph("Cast", f"network/{outputs.scores}", to=TensorProto.FLOAT)
    if outputs.score_conversion == "softmax":
        scores = graph("Softmax", scores, axis=2)
    if outputs.background != "none":
        first = 1 if outputs.background == "first" else 0
        scores = graph.sliced(scores, first, first + classes, 2)
    if outputs.score_conversion == "sigmoid":
        scores = graph("Sigmoid", scores)
    return _Scores(scores, graph("GreaterOrEqual", scores, "class_threshold"))


def _best_of(
    graph: GraphBuilder, scores: _Scores, total: int, classes: int, count: int, only_filled: bool
) -> tuple[str, str, str, str]:
    """Return scores, anchor indices and class ids [N, M] of the best pairs of anchor and class, and M.

    Scores that do not pass are 0.

    The search has two stages: the best of each of several rows, then the best of all rows. A GPU searches the rows
    in parallel, which takes a third of the time. Equal scores keep the order of their indices, as in one search.
    """
    rows = _row_count(total, count)
    most = min(count, total // rows)
    slots, row_slots = (graph.constant([number], np.int64) for number in (count, most))
    if only_filled:
        filled = _filled(graph, scores.passes)
        slots, row_slots = (graph("Min", filled, number) for number in (slots, row_slots))
    reported = graph("Where", scores.passes, scores.scores, graph.constant(0.0))
    table = graph.reshaped(reported, [0, rows, -1])
    row_best, columns = graph.multiple(2, "TopK", table, row_slots, axis=2)
    row_starts = np.arange(0, total, total // rows)[None, :, None]
    indices = graph("Add", columns, graph.constant(row_starts, np.int64))
    flat, flat_indices = (graph.reshaped(x, [0, -1]) for x in (row_best, indices))
    best, positions = graph.multiple(2, "TopK", flat, slots, axis=1)
    chosen = graph("GatherElements", flat_indices, positions, axis=1)
    divisor = graph.constant(classes, np.int64)
    anchors = graph("Div", chosen, divisor)
    class_ids = graph("Sub", chosen, graph("Mul", anchors, divisor))
    return best, anchors, graph("Cast", class_ids, to=TensorProto.INT32), slots


def _filled(graph: GraphBuilder, passes: str) -> str:
    """Return the tensor [1] of int64: the largest number of passing scores of an image, plus one."""
    numbers = graph("Cast", passes, to=TensorProto.FLOAT)  # the sum of integers takes twice as long
    each = graph("ReduceSum", numbers, graph.constant([1, 2], np.int64), keepdims=0)
    most = graph("Cast", graph("ReduceMax", each, axes=[0], keepdims=1), to=TensorProto.INT64)
    return graph("Add", most, graph.constant([1], np.int64))


def _row_count(total: int, count: int) -> int:
    """Return the number of equal rows for `total` scores that needs the least work in both stages."""
    divisors = [rows for rows in range(1, isqrt(total) + 1) if total % rows == 0]
    return min(divisors, key=lambda rows: total // rows + rows * min(count, total // rows))


def _decoded(graph: GraphBuilder, outputs: RawHeads, priors: NDArray[np.float32], anchors: str) -> str:
    """Add the decoding of the candidates' boxes to x1 y1 x2 y2."""
    order = [outputs.box_order.index(letter) for letter in "xywh"]
    scales = np.array(outputs.box_scales)[order]
    encoded = _reordered(graph, _rows_at(graph, f"network/{outputs.boxes}", anchors), order)
    halves = graph.constant([2, 2], np.int64)
    offset, log_size = graph.multiple(2, "Split", graph("Div", encoded, graph.constant(scales)), halves, axis=2)
    centre = graph("Gather", graph.constant(priors[:, :2]), anchors, axis=0)
    size = graph("Gather", graph.constant(priors[:, 2:]), anchors, axis=0)
    return add_decoding(graph, offset, log_size, centre, size)


def add_decoding(graph: GraphBuilder, offset: str, log_size: str, centre: str, size: str, name: str = "") -> str:
    """Add the decoding of boxes to corners, equivalent to `models/priors.decode_boxes`.

    Args:
        graph: Graph to add to.
        offset: Tensor [N, M, 2] of encoded centres x y, divided by the box coder's scales.
        log_size: Tensor [N, M, 2] of encoded widths and heights, divided by the box coder's scales.
        centre: Tensor of the prior boxes' centres x y that broadcasts to `offset`.
        size: Tensor of the prior boxes' widths and heights that broadcasts to `offset`.
        name: Name of the corners' tensor.

    Returns:
        Name of the tensor [N, M, 4] of x1 y1 x2 y2.
    """
    middle = graph("Add", graph("Mul", offset, size), centre)
    half = graph("Mul", graph("Mul", graph("Exp", log_size), size), graph.constant(0.5))
    return graph("Concat", graph("Sub", middle, half), graph("Add", middle, half), name=name, axis=2)


def _corners(graph: GraphBuilder, outputs: DecodedBoxes, anchors: str) -> str:
    """Return the candidates' boxes, decoded by the network, as normalised x1 y1 x2 y2."""
    return _normalised(graph, outputs, _rows_at(graph, f"network/{outputs.boxes}", anchors))


def _normalised(graph: GraphBuilder, outputs: DecodedBoxes | FinalDetections, corners: str) -> str:
    """Return corners [N, M, 4] in the card's unit and order as x1 y1 x2 y2, normalised to the image."""
    order = [0, 1, 2, 3] if outputs.box_order == "xyxy" else [1, 0, 3, 2]
    return _reordered(graph, graph("Div", corners, graph.constant(outputs.box_scales)), order)


def _of_detections(
    graph: GraphBuilder, outputs: FinalDetections, classes: int, rows: int, count: int, only_filled: bool
) -> Candidates:
    """Sort the rows of a network that ends in its own NMS; rows that are padding or of no class score 0."""
    table = graph("Cast", f"network/{outputs.rows}", to=TensorProto.FLOAT)
    table = graph.reshaped(table, [0, rows, 7])
    image, label, score = (graph.sliced(table, column, column + 1, 2) for column in range(3))
    first = 1.0 if outputs.background == "first" else 0.0
    after_first = graph("GreaterOrEqual", label, graph.constant(first))
    known = graph("And", after_first, graph("Less", label, graph.constant(first + classes)))
    real = graph("And", known, graph("GreaterOrEqual", image, graph.constant(0.0)))
    zero = graph.constant(0.0)
    class_ids = graph(
        "Cast", graph("Where", real, graph("Sub", label, graph.constant(first)), zero), to=TensorProto.INT32
    )
    passes = graph("GreaterOrEqual", score, graph("Gather", "class_threshold", class_ids, axis=0))
    scores = _Scores(score, graph("And", real, passes))
    best, indices, _, slots = _best_of(graph, scores, rows, 1, count, only_filled)
    flat_ids = graph.reshaped(class_ids, [0, -1])
    corners = _rows_at(graph, graph.sliced(table, 3, 7, 2), indices)
    boxes = _normalised(graph, outputs, corners)
    return Candidates(boxes, best, graph("GatherElements", flat_ids, indices, axis=1), slots)


def _rows_at(graph: GraphBuilder, tensor: str, anchors: str) -> str:
    """Return the four numbers of each candidate [N, M, 4] from a tensor [N, A, 4] of any data type."""
    index = graph("Unsqueeze", anchors, graph.constant([2], np.int64))
    heads = graph("Cast", tensor, to=TensorProto.FLOAT)
    return graph("GatherND", heads, index, batch_dims=1)


def _reordered(graph: GraphBuilder, boxes: str, order: Sequence[int]) -> str:
    return (
        boxes if list(order) == [0, 1, 2, 3] else graph("Gather", boxes, graph.constant(order, np.int64), axis=2)
    )


def _clip(graph: GraphBuilder, boxes: str) -> str:
    return graph("Max", graph("Min", boxes, graph.constant(1.0)), graph.constant(0.0))
