"""Boxes and class scores of a network before non-maximum suppression, found by shapes and operators."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.models.onnx_graph import CONVOLUTIONS, OnnxGraph
from trt_ssd_ros.tools.import_model.final_detections import FinalDetections

NOT_FOR_TENSORRT = {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan", "SequenceInsert", "Unique", "Compress"}
"""Operators whose results have no fixed shape, or that some TensorRT versions do not run."""

MIN_BOXES = 16

BoxOrder = Literal["xywh", "yxhw"]
BoxForm = Literal["corners", "centre and size", "corner and size"]


class NotFoundError(ValueError):
    """Boxes and scores cannot be identified in the network; the message says why."""


@dataclass(frozen=True)
class Priors:
    """Prior boxes that are in the graph.

    Attributes:
        tensor: Name of the tensor of prior boxes.
        layout: Content of the tensor. `corners`: x1 y1 x2 y2, then variances; `yxhw`: centres and sizes.
        box_scales: Box coder's divisors in the order of `layout`; None if the variances in the tensor apply.
        box_order: Order of the four numbers of an encoded box.
    """

    tensor: str
    layout: Literal["corners", "yxhw"]
    box_scales: tuple[float, float, float, float] | None
    box_order: BoxOrder


@dataclass(frozen=True)
class Heads:
    """Results of a network, by the names of their tensors.

    Attributes:
        boxes: Name of the tensor of boxes, four numbers each; of 7-float rows if `scores` is empty.
        scores: Name of the tensor of scores, one for each box and class.
        columns: Number of classes with the background; 0 if no node states it.
        priors: Prior boxes in the graph.
        form: Format of decoded boxes.
        final: Final detections of a network that ends in tables or several tensors of them.
        facts: Fields of the card that nodes of the graph state.
        why: Description of the place in the network, for the user.
    """

    boxes: str
    scores: str
    why: str
    columns: int = 0
    priors: Priors | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    form: BoxForm = "corners"
    final: FinalDetections | None = None

    @property
    def tensors(self) -> list[str]:
        """Names of the tensors that results are read from."""
        return self.final.tensors if self.final else [self.boxes, *filter(None, [self.scores])]


Shapes = Mapping[str, tuple[int, ...]]


def from_names(graph: OnnxGraph, boxes: str, scores: str) -> Heads:
    """Return the heads named with --boxes and --scores."""
    for name in (boxes, scores):
        if name not in graph.producers:
            raise NotFoundError(f"--boxes and --scores: the network has no tensor {name!r}")
    if boxes == scores:
        raise NotFoundError(f"--boxes and --scores: found {boxes!r} for both, expected a tensor for each")
    return Heads(boxes, scores, "named with --boxes and --scores")


def from_outputs(graph: OnnxGraph, shapes: Shapes, not_scores: Collection[str] = ()) -> Heads | None:
    """Return the pair of outputs with the most boxes that TensorRT can compute, or an output of 7-float rows.

    Args:
        graph: Graph of the network.
        shapes: Shapes of the outputs by name.
        not_scores: Names of the outputs that are no scores of all classes.
    """
    names = [tensor.name for tensor in graph.model.graph.output]
    for boxes, scores in pairs(graph, {name: shapes[name] for name in names if name in shapes}):
        if scores not in not_scores and usable(graph, (boxes, scores)):
            if are_ambiguous(graph, shapes, boxes, scores):
                raise NotFoundError(
                    f"{boxes!r} and {scores!r} both have four numbers a box, and no sigmoid or softmax tells "
                    "which are scores: name both with --boxes and --scores"
                )
            return Heads(boxes, scores, "outputs of the network")
    for name in names:
        shape = shapes.get(name, ())
        if len(shape) >= 2 and shape[-1] == 7 and usable(graph, (name,)):
            return Heads(name, "", "an output of the network in the 7-float layout of NMS")
    return None


def from_final(readings: Sequence[FinalDetections]) -> Heads:
    """Return the heads of final detections with one possible reading.

    Raises:
        NotFoundError: There are several readings, or several tensors with a varying number of rows.
    """
    first, *others = readings
    instead = "name the boxes and scores before its NMS with --boxes and --scores"
    if others:
        raise NotFoundError(
            f"the network ends in detections that can be read in {len(readings)} ways, expected one: {instead}; "
            f"found {'; '.join(map(str, readings))}"
        )
    if first.max_rows is None and len(first.tensors) > 1:
        raise NotFoundError(
            f"the network ends in detections in {', '.join(first.tensors)}: found a varying number of rows, "
            f"expected a fixed one: export the network with a fixed number of detections, or {instead}"
        )
    why = f"its final detections, counted by {first.count!r}" if first.count else "its final detections"
    return Heads(first.boxes.tensor, "", why, final=first)


def from_inside(graph: OnnxGraph, shapes: Shapes) -> Heads | None:
    """Return the earliest pair of inner tensors with the raw boxes and scores of all convolutions."""
    inner = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 3
        and shape[0] == 1
        and (is_raw(graph, name) or roots(graph, name) in ({"Sigmoid"}, {"Softmax"}))
    }
    for boxes, scores in pairs(graph, inner):
        if (
            is_raw(graph, boxes)
            and usable(graph, (boxes, scores))
            and not are_ambiguous(graph, inner, boxes, scores)
        ):
            return Heads(boxes, scores, "tensors before the network's own NMS")
    return None


def is_all(graph: OnnxGraph, heads: Heads) -> bool:
    """Return whether the outputs after the heads depend on no convolution by another path."""
    behind = graph.after(heads.tensors)
    outputs = [tensor.name for tensor in graph.model.graph.output if graph.producers.get(tensor.name) in behind]
    shapes = [name for node in graph.nodes if node.op_type in ("Shape", "Size") for name in node.output]
    beside = graph.before(outputs, stop=[*heads.tensors, *shapes])
    return not any(graph.nodes[index].op_type in CONVOLUTIONS for index in beside)


def usable(graph: OnnxGraph, tensors: tuple[str, ...]) -> bool:
    """Return whether TensorRT runs all operators from the first convolution to some tensors."""
    before = graph.before(tensors)
    first = min((index for index in before if graph.nodes[index].op_type == "Conv"), default=0)
    return not any(graph.nodes[index].op_type in NOT_FOR_TENSORRT for index in before if index > first)


def pairs(graph: OnnxGraph, shapes: Shapes) -> Iterator[tuple[str, str]]:
    """Yield pairs of tensors that may be boxes and their scores, most boxes first."""
    likely = []
    for boxes, shape in shapes.items():
        count = box_count(shape)
        for scores, other in shapes.items() if count >= MIN_BOXES else ():
            size = int(np.prod(other))
            if (
                origin(graph, boxes) not in moved(graph, scores)
                and count in other[1:] + other[:1]
                and size % count == 0
                and len(other) >= 2
            ):
                likely.append((-count, -score_preference(graph, boxes, scores), boxes, scores))
    yield from ((boxes, scores) for *_, boxes, scores in sorted(likely, key=lambda item: item[:2]))


def score_preference(graph: OnnxGraph, boxes: str, scores: str) -> int:
    """Return 1 if only `scores` go through a sigmoid or softmax, -1 if only `boxes` do, else 0."""
    return become_scores(graph, scores) - become_scores(graph, boxes)


def are_ambiguous(graph: OnnxGraph, shapes: Shapes, boxes: str, scores: str) -> bool:
    """Return whether either tensor may be the boxes, and the other one the scores of four classes."""
    return box_count(shapes[boxes]) == box_count(shapes[scores]) and score_preference(graph, boxes, scores) == 0


def box_count(shape: tuple[int, ...]) -> int:
    """Return the number of boxes in a tensor of a shape; 0 if it holds none."""
    sizes = [size for size in shape if size != 1]
    if len(sizes) == 2 and 4 in sizes:
        return sizes[0] if sizes[1] == 4 else sizes[1]
    return 0


def check_boxes(heads: Heads, shape: tuple[int, ...]) -> None:
    """Check that boxes of some shape have four numbers each.

    Raises:
        NotFoundError: Boxes have more or fewer numbers.
    """
    count, rest = divmod(int(np.prod(shape)), 4)
    is_flat = len([size for size in shape if size != 1]) == 1
    if rest or not (is_flat or heads.columns or heads.priors or box_count(shape) == count):
        raise NotFoundError(
            f"boxes {heads.boxes!r} have shape {list(shape)}, expected four numbers a box for one image; if there "
            "are more, such as keypoints, export the boxes alone"
        )


def as_arrays(values: Mapping[str, NDArray[Any]]) -> Shapes:
    """Return the shapes of the floating-point arrays by name."""
    return {name: value.shape for name, value in values.items() if value.dtype.kind == "f"}


LAYOUT = {
    "Reshape",
    "Concat",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "Cast",
    "Flatten",
    "Slice",
    "Dropout",
}
"""Operators that move values without changing them."""


CONVOLUTION_LIKE = {
    *("Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Clip", "Relu"),
    "DequantizeLinear",
}
"""Operators that head convolutions end in."""


def roots(graph: OnnxGraph, tensor: str) -> set[str]:
    """Return the operators that computed a tensor's values, skipping those that only move them."""
    found = set()
    for name in moved(graph, tensor):
        producer = graph.producer(name)
        if producer is None:
            found |= set() if name in graph.constants else {"input"}
        elif producer.op_type not in LAYOUT:
            found.add(producer.op_type)
    return found


def is_raw(graph: OnnxGraph, tensor: str) -> bool:
    """Return whether a tensor comes straight from convolutions, without box decoding, which needs an Exp."""
    made = roots(graph, tensor)
    decoded = any(graph.nodes[index].op_type == "Exp" for index in graph.before([tensor]))
    return bool(made) and made <= CONVOLUTION_LIKE and not decoded


def conversion_after(graph: OnnxGraph, tensor: str) -> str | None:
    """Return the graph's own conversion of class predictions to scores: sigmoid, softmax, or None."""
    waiting, seen = [tensor], set()
    while waiting:
        name = waiting.pop()
        for index in graph.consumers.get(name, []):
            node = graph.nodes[index]
            if node.op_type in ("Sigmoid", "Softmax"):
                return node.op_type.lower()
            if node.op_type in LAYOUT and index not in seen:
                seen.add(index)
                waiting.extend(node.output)
    return None


def moved(graph: OnnxGraph, tensor: str) -> set[str]:
    """Return the tensors whose values a tensor holds, itself included."""
    found, waiting = set(), [tensor]
    while waiting:
        name = waiting.pop()
        producer = None if name in found else graph.producer(name)
        found.add(name)
        if producer is not None and producer.op_type in LAYOUT:
            waiting.extend(producer.input if producer.op_type == "Concat" else producer.input[:1])
    return found


def origin(graph: OnnxGraph, tensor: str) -> str:
    """Return the earliest tensor with all values of a tensor, in any shape or order."""
    while (producer := graph.producer(tensor)) is not None and producer.op_type in LAYOUT - {"Concat", "Slice"}:
        tensor = producer.input[0]
    return tensor


def become_scores(graph: OnnxGraph, tensor: str) -> bool:
    """Return whether a sigmoid or softmax stands between the last convolutions and a tensor, or after it."""
    starts = (*CONVOLUTIONS, "Shape", "Size")
    stop = {name for node in graph.nodes if node.op_type in starts for name in node.output}
    made_by = {graph.nodes[index].op_type for index in graph.before([tensor], stop)}
    return bool(made_by & {"Sigmoid", "Softmax"}) or conversion_after(graph, tensor) is not None
