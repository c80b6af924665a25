"""Final detections of a network with its own NMS: possible readings, and their conversion to 7-float rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.image_tensor import Arrays
from trt_ssd_ros.tools.import_model.network_file import dimensions

MAX_ROWS = 400
"""Rows of the output if the network's number of rows varies."""


@dataclass(frozen=True)
class Column:
    """One value of each detection: a tensor, or a column of its last axis."""

    tensor: str
    index: int | None = None

    def of(self, values: Arrays, width: int = 1) -> NDArray[np.float64]:
        """Return `width` columns from this one on as rows (D, width)."""
        value = values[self.tensor].astype(np.float64)
        if self.index is not None:
            value = value[..., self.index : self.index + width]
        return value.reshape(-1, width)

    def __str__(self) -> str:
        return self.tensor if self.index is None else f"column {self.index} of {self.tensor}"


@dataclass(frozen=True)
class FinalDetections:
    """Final detections of a network, by tensors and columns.

    Attributes:
        boxes: First of the four columns of a box.
        score: Score, 0 to 1.
        label: Class label, a whole number.
        count: Name of the tensor that counts the detections; "" if all rows are detections.
        max_rows: Number of rows; None if it varies.
    """

    boxes: Column
    score: Column
    label: Column
    count: str = ""
    max_rows: int | None = None

    def __str__(self) -> str:
        counted = f", count {self.count}" if self.count else ""
        return f"boxes {self.boxes}, score {self.score}, label {self.label}{counted}"

    @property
    def tensors(self) -> list[str]:
        """Names of all tensors of the detections."""
        names = [self.boxes.tensor, self.score.tensor, self.label.tensor, self.count]
        return list(dict.fromkeys(filter(None, names)))

    def rows(self, values: Arrays) -> NDArray[np.float64]:
        """Return label, score and the four numbers of a box (D, 6) of each detection."""
        parts = [self.label.of(values), self.score.of(values), self.boxes.of(values, 4)]
        table = np.concatenate(parts, axis=1)
        return table[: int(values[self.count].ravel()[0])] if self.count else table

    def append_to(self, tail: GraphBuilder) -> tuple[str, int]:
        """Append the nodes for rows of image, label, score and corners; return tensor name and row count."""
        parts = [
            self._part(tail, column, width)
            for column, width in ((self.label, 1), (self.score, 1), (self.boxes, 4))
        ]
        image = tail("Sub", parts[0], parts[0])
        if self.count and self.max_rows:
            image = tail("Sub", image, self._padding(tail, self.max_rows))
        rows = tail("Concat", image, *parts, axis=2)
        if self.max_rows is None:
            rows = _best(tail, rows)
        return tail.reshaped(rows, [0, 1, -1, 7]), self.max_rows or MAX_ROWS

    def _part(self, tail: GraphBuilder, column: Column, width: int) -> str:
        numbers = tail("Cast", column.tensor, to=TensorProto.FLOAT)
        if column.index is not None:
            numbers = tail.sliced(numbers, column.index, column.index + width, -1)
        return tail.reshaped(numbers, [-1 if self.max_rows else 1, self.max_rows or -1, width])

    def _padding(self, tail: GraphBuilder, max_rows: int) -> str:
        """Return a tensor [N, K, 1] that is 1 for each row beyond the count, else 0."""
        count = tail.reshaped(tail("Cast", self.count, to=TensorProto.FLOAT), [-1, 1, 1])
        index = tail.constant(np.arange(max_rows).reshape(1, -1, 1))
        return tail("Cast", tail("GreaterOrEqual", index, count), to=TensorProto.FLOAT)


def _best(tail: GraphBuilder, rows: str) -> str:
    """Return the best MAX_ROWS of any number of rows (1, D, 7); padding rows have image -1 and score -1."""
    filled = tail("Concat", rows, tail.constant(np.full((1, MAX_ROWS, 7), -1.0)), axis=1)
    scores = tail.reshaped(tail.sliced(filled, 2, 3, 2), [-1])
    _, indices = tail.multiple(2, "TopK", scores, tail.constant([MAX_ROWS], np.int64), axis=0)
    return tail("Gather", filled, indices, axis=1)


def find_final(graph: OnnxGraph, values: Arrays) -> list[FinalDetections]:
    """Return the possible readings of final detections, for the tensor of boxes with the fewest of them.

    Args:
        graph: Graph of the network.
        values: Values of the outputs for a photo.
    """
    outputs = {item.name: item for item in graph.model.graph.output if item.name in values}
    arrays = {name: values[name] for name in outputs}
    readings = [_readings(arrays, name, dimensions(item)) for name, item in outputs.items()]
    return min(filter(None, readings), key=len, default=[])


def _readings(arrays: Arrays, name: str, stated: Sequence[int | None]) -> list[FinalDetections]:
    """Return the possible readings of detections whose boxes are in one tensor of a stated shape."""
    layouts = [item for item in _layouts(arrays, name) if _are_detections(arrays, *item)]
    if len(layouts) > 1:  # all fit if nothing is detected in the photo
        layouts = [item for item in layouts if not item[1].of(arrays).any()][:1] or layouts
    rows = arrays[name].shape[-2] if layouts else 0
    max_rows = rows if stated[-2:-1] == [rows] else None
    return [
        FinalDetections(*layout, count, max_rows)
        for layout in layouts
        for count in _counts(arrays, {column.tensor for column in layout}, rows, max_rows) or [""]
    ]


def _layouts(arrays: Arrays, name: str) -> Iterator[tuple[Column, Column, Column]]:
    """Yield possible columns of boxes, scores and labels if a tensor holds the boxes."""
    value = arrays[name]
    if value.dtype.kind != "f" or value.ndim not in (2, 3) or (value.ndim == 3 and value.shape[0] != 1):
        return
    width, others = value.shape[-1], _per_row(arrays, name)
    floats = [other for other, numbers in others.items() if numbers.dtype.kind == "f"]
    labels = [other for other, numbers in others.items() if numbers.dtype.kind in "iu"] or floats
    if width == 4:
        positive = [other for other in floats if others[other].min(initial=0) >= 0]
        yield from ((Column(name, 0), Column(s), Column(n)) for s, n in product(positive, labels) if s != n)
    elif width == 5:
        yield from ((Column(name, 0), Column(name, 4), Column(label)) for label in labels)
    elif width == 6 and value.size:
        yield Column(name, 2), Column(name, 1), Column(name, 0)  # PaddleDetection
        yield Column(name, 0), Column(name, 4), Column(name, 5)


def _are_detections(arrays: Arrays, boxes: Column, score: Column, label: Column) -> bool:
    """Return whether labels are whole, scores at most 1, and boxes with a score above 0 are corners."""
    labels, scores = label.of(arrays), score.of(arrays)[:, 0]
    corners = boxes.of(arrays, 4)[scores > 0]
    is_ordered = (corners[:, 2:] >= corners[:, :2]).all()
    return bool(np.array_equal(labels, np.floor(labels)) and scores.max(initial=0) <= 1 and is_ordered)


def _per_row(arrays: Arrays, table: str) -> Arrays:
    """Return the tensors with one value for each row of another tensor."""
    rows = arrays[table].shape[-2]
    return {
        name: value
        for name, value in arrays.items()
        if name != table and value.ndim >= 1 and value.size == rows and rows in value.shape
    }


def _counts(arrays: Arrays, read: Collection[str], rows: int, max_rows: int | None) -> list[str]:
    """Return the one-value tensors that may count the detections; a varying number of rows needs no count."""
    numbers = {name: value.item() for name, value in arrays.items() if value.size == 1 and name not in read}
    return [n for n, number in numbers.items() if number in range(rows + 1) and (max_rows or number != rows)]
