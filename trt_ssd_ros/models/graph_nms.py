"""Non-maximum suppression of the composed graph, and removal of invalid boxes."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import GraphBuilder

NMS_ROUNDS = 12
COORDINATE_LIMIT = 1e4
"""Largest absolute coordinate of a valid box, in image sizes."""


def mask_invalid_boxes(graph: GraphBuilder, boxes: str, scores: str) -> tuple[str, str]:
    """Set boxes and scores of a slot to 0 if a coordinate is NaN or above the limit."""
    # A comparison with NaN is false.
    inside = graph("LessOrEqual", graph("Abs", boxes), graph.constant(COORDINATE_LIMIT))
    corners = graph("Cast", inside, to=TensorProto.FLOAT)
    valid = graph("Greater", graph("ReduceMin", corners, axes=[2]), graph.constant(0.5))
    valid_slots = graph.reshaped(valid, [0, -1])
    zero = graph.constant(0.0)
    return graph("Where", valid, boxes, zero), graph("Where", valid_slots, scores, zero)


def better_mask(graph: GraphBuilder, count: int, slots: str = "") -> str:
    """Return the tensor [1, M, M] of bool: whether the row's candidate stands before the column's.

    Args:
        graph: Graph to add to.
        count: M, or the largest M.
        slots: Tensor [1] of int64 with M; empty: M is `count`.
    """
    better = graph.constant(np.tri(count, k=-1, dtype=np.bool_).T[None], np.bool_)
    if not slots:
        return better
    starts, axes = (graph.constant(numbers, np.int64) for numbers in ([0, 0], [1, 2]))
    return graph("Slice", better, starts, graph("Concat", slots, slots, axis=0), axes)


def suppress(
    graph: GraphBuilder, boxes: str, scores: str, class_ids: str, better: str, iou_threshold: str
) -> tuple[str, str]:
    """Add greedy NMS as a fixed point: keep the valid boxes that no kept better box of their class overlaps.

    Round t settles the t-th box of every chain of suppressions. If a round changes nothing, the result is that of
    greedy NMS; `settled` states whether the last round changed nothing.

    Args:
        graph: Graph to add to.
        boxes: Tensor [N, M, 4] of x1 y1 x2 y2.
        scores: Tensor [N, M] of scores, best first.
        class_ids: Tensor [N, M] of class ids.
        better: Tensor of `better_mask`.
        iou_threshold: Tensor [1] of the overlap above which a box is suppressed.

    Returns:
        Names of the tensors keep [N, M] and settled [N], both int32.
    """
    overlap = _overlap_mask(graph, boxes, class_ids, better, iou_threshold)
    zero, half = graph.constant(0.0), graph.constant(0.5)
    # Boxes as a column instead of a row would take three times as long on a GPU in each round.
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


def _overlap_mask(graph: GraphBuilder, boxes: str, class_ids: str, better: str, iou_threshold: str) -> str:
    """Return a float tensor [N, M, M]: 1 if the row's box is better and suppresses the column's box, else 0."""
    one_each = graph.constant([1, 1, 1, 1], np.int64)
    rows = graph.multiple(4, "Split", boxes, one_each, axis=2)
    # If columns were transposed rows, NMS would keep only the best box in TensorRT for RTX 1.6.1, with up to 300
    # candidates. So columns come from the transposed boxes.
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
    return graph("Cast", graph("And", graph("And", overlapping, same_class), better), to=TensorProto.FLOAT)
