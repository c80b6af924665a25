"""Outputs of a network that ends in its own non-maximum suppression, in one table or in several tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.network_file import dimensions

MOST = 400
"""Detections that are taken of a network that finds a varying number of them."""
LABEL_WORDS = ("label", "class", "category", "cls")
SCORE_WORDS = ("score", "conf", "prob")
COUNT_WORDS = ("num", "count")

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Column:
    """One number of each detection: a tensor, or a column of its last axis."""

    tensor: str
    index: int | None = None

    def of(self, values: Values, width: int = 1) -> NDArray[np.float64]:
        """Return the numbers as rows (D, width)."""
        value = values[self.tensor].astype(np.float64)
        if self.index is not None:
            value = value[..., self.index : self.index + width]
        return value.reshape(-1, width)


@dataclass(frozen=True)
class FinalDetections:
    """Where a network's final detections are.

    Attributes:
        boxes: The first of the four numbers of a box.
        score: Between 0 and 1.
        label: A whole number.
        count: Tensor that says how many of the rows are detections; "" if all of them are.
        most: Rows, where their number is fixed.
    """

    boxes: Column
    score: Column
    label: Column
    count: str = ""
    most: int | None = None

    @property
    def tensors(self) -> list[str]:
        """Names of the tensors that are read."""
        names = [self.boxes.tensor, self.score.tensor, self.label.tensor, self.count]
        return list(dict.fromkeys(filter(None, names)))

    def rows(self, values: Values) -> NDArray[np.float64]:
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
            rows = _best(tail, self._counted(tail, rows))
        return tail.reshaped(rows, [0, 1, -1, 7]), self.most or MOST

    def _part(self, tail: GraphBuilder, column: Column, width: int) -> str:
        numbers = tail("Cast", column.tensor, to=TensorProto.FLOAT)
        if column.index is not None:
            numbers = tail.sliced(numbers, column.index, column.index + width, -1)
        return tail.reshaped(numbers, [-1 if self.most else 1, self.most or -1, width])

    def _counted(self, tail: GraphBuilder, rows: str) -> str:
        """Return the rows up to the count, if there is one."""
        if not self.count:
            return rows
        count = tail.reshaped(tail("Cast", self.count, to=TensorProto.INT64), [1])
        first, axis = (tail.constant([number], np.int64) for number in (0, 1))
        return tail("Slice", rows, first, count, axis)

    def _padding(self, tail: GraphBuilder, most: int) -> str:
        """Return [N, K, 1], 1 for each row beyond the count."""
        count = tail.reshaped(tail("Cast", self.count, to=TensorProto.FLOAT), [-1, 1, 1])
        index = tail.constant(np.arange(most).reshape(1, most, 1))
        return tail("Cast", tail("GreaterOrEqual", index, count), to=TensorProto.FLOAT)


def _best(tail: GraphBuilder, rows: str) -> str:
    """Return the best of a varying number of rows (1, D, 7), filled up with padding: image -1, score -1."""
    filled = tail("Concat", rows, tail.constant(np.full((1, MOST, 7), -1.0)), axis=1)
    scores = tail.reshaped(tail.sliced(filled, 2, 3, 2), [-1])
    _, indices = tail.multiple(2, "TopK", scores, tail.constant([MOST], np.int64), axis=0)
    return tail("Gather", filled, indices, axis=1)


def find_final(graph: OnnxGraph, values: Values) -> FinalDetections | None:
    """Find final detections among a network's outputs.

    Args:
        graph: The network.
        values: What its outputs are for a photo.
    """
    outputs = {item.name: item for item in graph.model.graph.output if item.name in values}
    arrays = {name: values[name] for name in outputs}
    for name in arrays:
        layouts = [item for item in _layouts(arrays, name) if _are_detections(arrays, *item)]
        if not layouts or (len(layouts) > 1 and layouts[0][1].of(arrays).any()):
            continue
        boxes, score, label = layouts[0]
        rows = len(boxes.of(arrays, 4))
        stated = [size for size in dimensions(outputs[boxes.tensor])[:-1] if size is not None and size > 1]
        most = rows if stated[-1:] == [rows] else None
        return FinalDetections(boxes, score, label, _count(arrays, rows), most)
    return None


def _layouts(arrays: Values, name: str) -> Iterator[tuple[Column, Column, Column]]:
    """Yield where boxes, scores and labels may be, if a tensor holds the boxes."""
    value = arrays[name]
    if value.dtype.kind != "f" or value.ndim not in (2, 3) or (value.ndim == 3 and value.shape[0] != 1):
        return
    width, others = value.shape[-1], _per_row(arrays, name)
    labels, scores = _labels(others), _scores(others)
    if width == 4 and len(labels) == 1 and len(scores) == 1:
        yield Column(name, 0), Column(scores[0]), Column(labels[0])
    elif width == 5 and len(labels) == 1:
        yield Column(name, 0), Column(name, 4), Column(labels[0])
    elif width == 6 and value.size:
        yield Column(name, 2), Column(name, 1), Column(name, 0)  # PaddleDetection
        yield Column(name, 0), Column(name, 4), Column(name, 5)


def _are_detections(arrays: Values, boxes: Column, score: Column, label: Column) -> bool:
    """Tell whether labels are whole, no score exceeds 1, and where there is one a box is two corners."""
    scores = score.of(arrays)[:, 0]
    corners = boxes.of(arrays, 4)[scores > 0]
    is_ordered = (corners[:, 2:] >= corners[:, :2]).all()
    return bool(whole(label.of(arrays)) and scores.max(initial=0) <= 1 and is_ordered)


def _per_row(arrays: Values, table: str) -> Values:
    """Return the tensors that have one number for each row of another."""
    rows = arrays[table].shape[-2]
    return {
        name: value
        for name, value in arrays.items()
        if name != table and value.ndim >= 1 and value.size == rows and rows in value.shape
    }


def _labels(others: Values) -> Sequence[str]:
    """Return the tensors that may be labels: those of a whole type, or whole numbers that are called so."""
    return [n for n, v in others.items() if v.dtype.kind in "iu"] or [
        n for n, v in others.items() if v.dtype.kind == "f" and whole(v) and _is_called(n, LABEL_WORDS)
    ]


def _scores(others: Values) -> Sequence[str]:
    floats = [
        n for n, v in others.items() if v.dtype.kind == "f" and v.min(initial=0) >= 0 and v.max(initial=1) <= 1
    ]
    return [n for n in floats if _is_called(n, SCORE_WORDS)] or [n for n in floats if n not in _labels(others)]


def _count(arrays: Values, rows: int) -> str:
    """Return the tensor that says how many detections there are, "" if there is none."""
    return next(
        (
            name
            for name, value in arrays.items()
            if value.size == 1 and _is_called(name, COUNT_WORDS) and whole(value) and 0 <= value.ravel()[0] <= rows
        ),
        "",
    )


def whole(numbers: NDArray[Any]) -> bool:
    """Tell whether all of some numbers are whole."""
    return bool(np.array_equal(numbers, np.floor(numbers)))


def _is_called(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)
