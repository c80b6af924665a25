"""Conversion of a network to the form that cards describe; decoding of boxes with priors in the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trt_ssd_ros.errors import counted
from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.models.graph_candidates import add_decoding
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.batch import Batch, with_best_batch
from trt_ssd_ros.tools.import_model.box_form import append_corners
from trt_ssd_ros.tools.import_model.cells import HeadCells
from trt_ssd_ros.tools.import_model.entry import Entry
from trt_ssd_ros.tools.import_model.evidence import HeadEvidence
from trt_ssd_ros.tools.import_model.heads import Heads, NotFoundError, Priors
from trt_ssd_ros.tools.import_model.image_tensor import Arrays
from trt_ssd_ros.tools.import_model.network_file import dimensions


@dataclass(frozen=True)
class StandardNetwork:
    """Network in the form that model cards describe.

    Attributes:
        model: Network; the original one if `changes` is empty.
        boxes: Name of the output of boxes [N, A, 4], or of 7-float rows [N, 1, A, 7].
        scores: Name of the output of scores [N, A, columns]; "" with 7-float rows.
        count: Number of boxes or rows, A.
        columns: Number of classes with the background; 0 if unknown.
        changes: Descriptions of the changes to the network, for the user.
        batch: Batch: 1, or "N" if it is dynamic.
    """

    model: onnx.ModelProto
    boxes: str
    scores: str
    count: int
    columns: int
    changes: tuple[str, ...]
    batch: Batch


def standard_network(
    graph: OnnxGraph,
    entry: Entry,
    heads: Heads,
    values: Arrays,
    sides: Arrays,
    evidence: HeadEvidence | None = None,
) -> StandardNetwork:
    """Cut a network to the part between pixels and heads, and convert the heads to boxes and scores of a card.

    Args:
        graph: Graph of the network.
        entry: Entry of pixels.
        heads: Boxes and scores.
        values: Values for an image of the heads and of priors in the graph, by tensor name.
        sides: Values of the other tensors that the heads depend on, equal for every image.
        evidence: Evidence on raw heads; None for other results.

    Raises:
        NotFoundError: The shapes of boxes, scores and priors do not match.
        RuntimeError: ONNX Runtime cannot run the remaining network.
    """
    tail = GraphBuilder("ssd/")
    results = _results(tail, heads, values, evidence)
    frozen = [numpy_helper.from_array(value, name) for name, value in sides.items()]
    model, batch = with_best_batch(partial(_cut, graph, entry, results.outputs, tail, frozen), entry.shape)
    changes = [*([entry.why] if entry.is_cut else []), *results.changes]
    if batch == "N" and has_batch_of_1(entry):
        changes.append("the batch of 1 becomes dynamic, as two images at once give what each gives alone")
    removed = len(graph.nodes) + len(tail.nodes) - len(model.graph.node)
    if removed:
        changes.append(f"{removed} of {counted(len(graph.nodes), 'node')} cut off")
    if tail.nodes:
        changes.append(f"{counted(len(tail.nodes), 'node')} appended to convert boxes and scores")
    if not changes and _as_declared(graph.model, model):
        model = graph.model
    elif not changes:
        changes.append("shapes are declared" + ("" if batch == "N" else ", the batch is 1"))
    return StandardNetwork(
        model, results.boxes, results.scores, results.count, results.columns, tuple(changes), batch
    )


def has_batch_of_1(entry: Entry) -> bool:
    """Return whether the network declares a batch of 1."""
    dims = dimensions(entry.image)
    return len(dims) == 4 and dims[0] == 1


@dataclass(frozen=True)
class _Results:
    """Converted boxes and scores, as in `StandardNetwork`; outputs are their types and shapes for one image."""

    boxes: str
    scores: str
    count: int
    columns: int
    outputs: Mapping[str, tuple[int, list[int]]]
    changes: Sequence[str] = ()


def _results(tail: GraphBuilder, heads: Heads, values: Arrays, evidence: HeadEvidence | None) -> _Results:
    """Append the conversion of the heads."""
    if not heads.scores:
        rows, count = heads.final.append_to(tail) if heads.final else _rows(tail, heads.boxes, values[heads.boxes])
        kind = TensorProto.FLOAT if heads.final else _type(values[heads.boxes])
        return _Results(rows, "", count, heads.columns, {rows: (kind, [1, count, 7])})
    changes = []
    boxes, count = _boxes(tail, heads.boxes, values[heads.boxes])
    scores, columns = _scores(tail, heads.scores, values[heads.scores], count)
    kind = _type(values[heads.boxes])
    if heads.priors is not None:
        boxes, kind = (
            append_decoding(tail, boxes, heads.priors, values[heads.priors.tensor], count),
            TensorProto.FLOAT,
        )
        changes.append(f"boxes are decoded with the prior boxes in {heads.priors.tensor!r}")
    elif heads.form != "corners":
        boxes, kind = append_corners(tail, boxes, heads.form), TensorProto.FLOAT
        changes.append(f"boxes are converted from {heads.form} to corners")
    if evidence is not None:
        boxes = _in_order(tail, boxes, evidence.cells)
        scores = _in_order(tail, scores, evidence.score_cells)
    outputs = {boxes: (kind, [count, 4]), scores: (_type(values[heads.scores]), [count, columns])}
    return _Results(boxes, scores, count, columns, outputs, changes)


def _type(value: NDArray[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(value.dtype))


def _boxes(tail: GraphBuilder, tensor: str, value: NDArray[Any]) -> tuple[str, int]:
    count = value.size // 4
    sizes = [size for size in value.shape if size != 1]
    if len(sizes) == 2 and sizes[0] == 4 and sizes[1] != 4:
        axes = [axis for axis, size in enumerate(value.shape) if size != 1]
        order = list(range(value.ndim))
        order[axes[0]], order[axes[1]] = axes[1], axes[0]
        tensor = tail("Transpose", tensor, perm=order)
    if value.shape != (1, count, 4):
        tensor = tail.reshaped(tensor, [_batch(value.shape), count, 4])
    return tensor, count


def _scores(tail: GraphBuilder, tensor: str, value: NDArray[Any], count: int) -> tuple[str, int]:
    columns, rest = divmod(value.size, count)
    if rest:
        shape = list(value.shape)
        raise NotFoundError(
            f"scores {tensor!r} have shape {shape}, expected a multiple of {count}, the number of boxes"
        )
    if value.ndim >= 3 and value.shape[-2:] == (columns, count) and columns != count:
        order = list(range(value.ndim))
        order[-2:] = order[-1], order[-2]
        tensor = tail("Transpose", tensor, perm=order)
    if value.shape != (1, count, columns):
        tensor = tail.reshaped(tensor, [_batch(value.shape), count, columns])
    return tensor, columns


def _in_order(tail: GraphBuilder, tensor: str, cells: HeadCells | None) -> str:
    """Append the reordering of a head's rows to the order of prior boxes, if they differ."""
    if cells is None or np.array_equal(cells.order, np.arange(len(cells.order))):
        return tensor
    return tail("Gather", tensor, tail.constant(cells.order, np.int64), axis=1)


def _batch(shape: tuple[int, ...]) -> int:
    """Return Reshape's value for the batch: 0 keeps the first dimension, 1 adds one."""
    return 0 if len(shape) > 1 and shape[0] == 1 else 1


def _rows(tail: GraphBuilder, tensor: str, value: NDArray[Any]) -> tuple[str, int]:
    count = value.size // 7
    table = value.reshape(-1, 7)
    if not np.array_equal(table[:, :2], np.floor(table[:, :2])) or not 0 <= table[:, 2].min(initial=0) <= 1:
        raise NotFoundError(
            f"{tensor!r} has seven numbers a row, expected image id, label (whole numbers), score, x1, y1, x2, y2"
        )
    if value.shape == (1, 1, count, 7):
        return tensor, count
    return tail.reshaped(tensor, [_batch(value.shape), 1, count, 7]), count


def _cut(
    graph: OnnxGraph,
    entry: Entry,
    outputs: Mapping[str, tuple[int, list[int]]],
    tail: GraphBuilder,
    frozen: Sequence[TensorProto],
    batch: Batch,
) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(entry.dtype)
    image = helper.make_tensor_value_info(entry.tensor, kind, [batch, *entry.shape[1:]])
    results = [
        helper.make_tensor_value_info(name, kind, [batch, *shape]) for name, (kind, shape) in outputs.items()
    ]
    part = graph.cut([image], results, tail.nodes, tail.constants, frozen)
    part.doc_string = graph.model.doc_string  # doc_string and metadata may state the licence
    part.metadata_props.extend(graph.model.metadata_props)
    return part


def _as_declared(original: onnx.ModelProto, model: onnx.ModelProto) -> bool:
    """Return whether a network declares the real shapes of its input and outputs."""
    stated = {item.name: item.type.tensor_type.shape for item in (*original.graph.input, *original.graph.output)}
    for item in (*model.graph.input, *model.graph.output):
        if item.name not in stated:
            return False
        found, expected = stated[item.name].dim, item.type.tensor_type.shape.dim
        if [d.dim_value for d in found][1:] != [d.dim_value for d in expected][1:]:
            return False
        if bool(found[0].dim_value) != bool(expected[0].dim_value):
            return False
    return True


def prior_boxes(
    priors: Priors, value: NDArray[Any], count: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return `count` prior boxes: centres (A, 2) x y, sizes (A, 2) w h, and variances (A, 4) x y w h."""
    if priors.layout == "yxhw":
        rows = value.reshape(-1, 4).astype(np.float64)
        y, x, h, w = rows.T
        variances = np.broadcast_to(1 / np.array(priors.box_scales)[[1, 0, 3, 2]], rows.shape)
    else:
        rows, variances = _corners_and_variances(value, count)
        if priors.box_scales is not None:
            variances = np.broadcast_to(1 / np.array(priors.box_scales), rows.shape)
        x, y = (rows[:, 0] + rows[:, 2]) / 2, (rows[:, 1] + rows[:, 3]) / 2
        w, h = rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1]
    if len(rows) != count:
        raise NotFoundError(
            f"{priors.tensor!r} holds {len(rows)} prior boxes, expected {count}, the number of boxes"
        )
    return np.stack([x, y], 1), np.stack([w, h], 1), variances


def append_decoding(tail: GraphBuilder, encoded: str, priors: Priors, value: NDArray[Any], count: int) -> str:
    """Append the decoding of boxes with priors in the graph; return the name of the corners' tensor."""
    encoded = tail("Cast", encoded, to=TensorProto.FLOAT)
    centres, sizes, variances = prior_boxes(priors, value, count)
    if priors.box_order == "yxhw":
        encoded = tail("Gather", encoded, tail.constant([1, 0, 3, 2], np.int64), axis=2)
    scaled = tail("Mul", encoded, tail.constant(variances[None]))
    # Slice, as the sizes of Split are an input only from opset 13 on, and networks may have opset 9.
    offset, log_size = (tail.sliced(scaled, start, start + 2, 2) for start in (0, 2))
    centre, size = tail.constant(centres[None]), tail.constant(sizes[None])
    return add_decoding(tail, offset, log_size, centre, size, name="boxes")


def _corners_and_variances(value: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split prior boxes of NMS_TRT, [1, 2, A * 4, 1], or of Keras' SSDs, [1, A, 8], into corners and variances."""
    if value.size != count * 8:
        shape = list(value.shape)
        raise NotFoundError(f"prior boxes have shape {shape}, expected corners and variances of {count} boxes")
    if value.shape[-1] == 8:
        rows = value.reshape(count, 8).astype(np.float64)
        return rows[:, :4], rows[:, 4:]
    corners, variances = value.reshape(2, count, 4).astype(np.float64)
    return corners, variances
