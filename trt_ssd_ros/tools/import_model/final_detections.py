"""Final detections of a network with its own NMS: the ways to read them, and the nodes that make 7-float rows."""

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

MOST = 400
"""Rows that a table of a varying number of them becomes."""


@dataclass(frozen=True)
class Column:
    """One number of each detection: a tensor, or a column of its last axis."""

    tensor: str
    index: int | None = None

    def of(self, values: Arrays, width: int = 1) -> NDArray[np.float64]:
        """Return the numbers as rows (D, width)."""
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
        boxes: The first of the four numbers of a box.
        score: Between 0 and 1.
        label: A whole number.
        count: Tensor that says how many of the rows are detections; "" if all of them are.
        most: Number of rows; None if it varies.
    """

    boxes: Column
    score: Column
    label: Column
    count: str = ""
    most: int | None = None

    def __str__(self) -> str:
        counted = f", count {self.count}" if self.count else ""
        return f"boxes {self.boxes}, score {self.score}, label {self.label}{counted}"

    @property
    def tensors(self) -> list[str]:
        """Names of the tensors that are read."""
        names = [self.boxes.tensor, self.score.tensor, self.label.tensor, self.count]
        return list(dict.fromkeys(filter(None, names)))

    def rows(self, values: Arrays) -> NDArray[np.float64]:
        """Return label, score and the four numbers of a box (D, 6) of the detections in some values."""
        parts = [self.label.of(values), self.score.of(values), self.boxes.of(values, 4)]
        table = np.concatenate(parts, axis=1)
        return table[: int(values[self.count].ravel()[0])] if self.count else table

    def append_to(self, tail: GraphBuilder) -> tuple[str, int]:
        """Add the nodes that make rows of image, label, score and corners; return their tensor and number."""
        parts = [
            self._part(tail, column, width)
            for column, width in ((self.label, 1), (self.score, 1), (self.boxes, 4))
        ]
        image = tail("Sub", parts[0], parts[0])
        if self.count and self.most:
            image = tail("Sub", image, self._padding(tail, self.most))
        rows = tail("Concat", image, *parts, axis=2)
        if self.most is None:
            rows = _best(tail, rows)
        return tail.reshaped(rows, [0, 1, -1, 7]), self.most or MOST

    def _part(self, tail: GraphBuilder, column: Column, width: int) -> str:
        numbers = tail("Cast", column.tensor, to=TensorProto.FLOAT)
        if column.index is not None:
            numbers = tail.sliced(numbers, column.index, column.index + width, -1)
        return tail.reshaped(numbers, [-1 if self.most else 1, self.most or -1, width])

    def _padding(self, tail: GraphBuilder, most: int) -> str:
        """Return [N, K, 1], 1 for each row beyond the count."""
        count = tail.reshaped(tail("Cast", self.count, to=TensorProto.FLOAT), [-1, 1, 1])
        index = tail.constant(np.arange(most).reshape(1, -1, 1))
        return tail("Cast", tail("GreaterOrEqual", index, count), to=TensorProto.FLOAT)


def _best(tail: GraphBuilder, rows: str) -> str:
    """Return the best of a varying number of rows (1, D, 7), filled up with padding: image -1, score -1."""
    filled = tail("Concat", rows, tail.constant(np.full((1, MOST, 7), -1.0)), axis=1)
    scores = tail.reshaped(tail.sliced(filled, 2, 3, 2), [-1])
    _, indices = tail.multiple(2, "TopK", scores, tail.constant([MOST], np.int64), axis=0)
    return tail("Gather", filled, indices, axis=1)


def find_final(graph: OnnxGraph, values: Arrays) -> list[FinalDetections]:
    """Return the ways to read final detections from outputs: those of the tensor of boxes that has the fewest.

    Args:
        graph: The network.
        values: What its outputs are for a photo.
    """
    outputs = {item.name: item for item in graph.model.graph.output if item.name in values}
    arrays = {name: values[name] for name in outputs}
    ways = [_readings(arrays, name, dimensions(item)) for name, item in outputs.items()]
    return min(filter(None, ways), key=len, default=[])


def _readings(arrays: Arrays, name: str, stated: Sequence[int | None]) -> list[FinalDetections]:
    """Return the ways to read detections whose boxes one tensor of some stated shape holds."""
    layouts = [item for item in _layouts(arrays, name) if _are_detections(arrays, *item)]
    if len(layouts) > 1:  # a photo in which nothing is found does not tell
        layouts = [item for item in layouts if not item[1].of(arrays).any()][:1] or layouts
    rows = arrays[name].shape[-2] if layouts else 0
    most = rows if stated[-2:-1] == [rows] else None
    return [
        FinalDetections(*layout, count, most)
        for layout in layouts
        for count in _counts(arrays, {column.tensor for column in layout}, rows, most) or [""]
    ]


def _layouts(arrays: Arrays, name: str) -> Iterator[tuple[Column, Column, Column]]:
    """Yield where boxes, scores and labels may be, if a tensor holds the boxes."""
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
    """Tell whether labels are whole, no score exceeds 1, and where there is one a box is two corners."""
    labels, scores = label.of(arrays), score.of(arrays)[:, 0]
    corners = boxes.of(arrays, 4)[scores > 0]
    is_ordered = (corners[:, 2:] >= corners[:, :2]).all()
    return bool(np.array_equal(labels, np.floor(labels)) and scores.max(initial=0) <= 1 and is_ordered)


def _per_row(arrays: Arrays, table: str) -> Arrays:
    """Return the tensors that have one number for each row of another."""
    rows = arrays[table].shape[-2]
    return {
        name: value
        for name, value in arrays.items()
        if name != table and value.ndim >= 1 and value.size == rows and rows in value.shape
    }


def _counts(arrays: Arrays, read: Collection[str], rows: int, most: int | None) -> list[str]:
    """Return the tensors of one whole number that may count the detections; all rows that vary need no count."""
    numbers = {name: value.item() for name, value in arrays.items() if value.size == 1 and name not in read}
    return [n for n, number in numbers.items() if number in range(rows + 1) and (most or number != rows)]
