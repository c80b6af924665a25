"""The part of the composed graph that follows the candidates: unusable boxes, and non-maximum suppression."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import GraphBuilder

NMS_ROUNDS = 12
COORDINATE_LIMIT = 1e4
"""Candidates with a corner further out than this many image sizes, or not a number, are empty slots."""


def drop_unusable(graph: GraphBuilder, boxes: str, scores: str) -> tuple[str, str]:
    """Empty the slots whose box is not finite; a comparison with NaN is false."""
    inside = graph("LessOrEqual", graph("Abs", boxes), graph.constant(COORDINATE_LIMIT))
    corners = graph("Cast", inside, to=TensorProto.FLOAT)
    usable = graph("Greater", graph("ReduceMin", corners, axes=[2]), graph.constant(0.5))
    usable_slots = graph.reshaped(usable, [0, -1])
    zero = graph.constant(0.0)
    return graph("Where", usable, boxes, zero), graph("Where", usable_slots, scores, zero)


def suppress(
    graph: GraphBuilder, boxes: str, scores: str, class_ids: str, count: int, iou_threshold: str
) -> tuple[str, str]:
    """Greedy NMS as a fixed point: keep the valid boxes that no kept better box of their class overlaps.

    Round t settles the t-th box of every chain of suppressions, so a round that changes nothing has found greedy
    NMS; `settled` tells whether the last one did. The boxes stand in a row: as a column, each round takes three
    times as long on a GPU.
    """
    overlap = _overlap_mask(graph, boxes, class_ids, count, iou_threshold)
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
    flat = graph.reshaped(keep, [0, -1])
    return graph("Cast", flat, to=TensorProto.INT32), settled


def _overlap_mask(graph: GraphBuilder, boxes: str, class_ids: str, count: int, iou_threshold: str) -> str:
    """Return [N, M, M] float, 1 where the row's box is better and would suppress the column's.

    The columns are split off the transposed boxes: where they are transposed rows, TensorRT for RTX 1.6.1 makes an
    NMS that keeps the best box only, of up to 300 candidates.
    """
    one_each = graph.constant([1, 1, 1, 1], np.int64)
    rows = graph.multiple(4, "Split", boxes, one_each, axis=2)
    columns = graph.multiple(4, "Split", graph("Transpose", boxes, perm=[0, 2, 1]), one_each, axis=1)
    zero = graph.constant(0.0)
    width, height = (
        graph("Max", graph("Sub", graph("Min", rows[b], columns[b]), graph("Max", rows[a], columns[a])), zero)
        for a, b in ((0, 2), (1, 3))
    )
    intersection = graph("Mul", width, height)
    row_area, column_area = (
        graph("Mul", graph("Sub", x2, x1), graph("Sub", y2, y1)) for x1, y1, x2, y2 in (rows, columns)
    )
    union = graph("Sub", graph("Add", row_area, column_area), intersection)
    overlapping = graph("Greater", intersection, graph("Mul", union, iou_threshold))
    class_row, class_column = (graph("Unsqueeze", class_ids, graph.constant([axis], np.int64)) for axis in (2, 1))
    same_class = graph("Equal", class_row, class_column)
    better = graph.constant(np.tri(count, k=-1, dtype=np.bool_).T[None], np.bool_)
    return graph("Cast", graph("And", graph("And", overlapping, same_class), better), to=TensorProto.FLOAT)
