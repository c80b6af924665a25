"""Find the boxes and class scores in a network, before any non-maximum suppression, by shapes and operators."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.models.onnx_graph import CONVOLUTIONS, OnnxGraph
from trt_ssd_ros.tools.import_model.final_detections import FinalDetections

NOT_FOR_TENSORRT = {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan", "SequenceInsert", "Unique", "Compress"}
"""Operators whose results have no fixed shape, or that not every TensorRT runs."""

LEAST_BOXES = 16

BoxOrder = Literal["xywh", "yxhw"]
BoxForm = Literal["corners", "centre and size", "corner and size"]


class NotFoundError(ValueError):
    """The network has no boxes and scores that can be told. The text says why."""


@dataclass(frozen=True)
class Priors:
    """Prior boxes that are in the graph.

    Attributes:
        tensor: What holds them.
        layout: `corners`: x1 y1 x2 y2 and, behind them, variances; `yxhw`: centres and sizes.
        box_scales: The box coder's divisors in the order of `layout`; None where the variances of the tensor hold.
        box_order: Meaning of the four numbers that are decoded with them.
    """

    tensor: str
    layout: Literal["corners", "yxhw"]
    box_scales: tuple[float, float, float, float] | None
    box_order: BoxOrder


@dataclass(frozen=True)
class Heads:
    """Results of a network, by the names of their tensors.

    Attributes:
        boxes: Tensor with four numbers a box; of 7-float rows if `scores` is empty.
        scores: Tensor with a number for each box and class.
        columns: Classes with the background, where a node tells; else 0.
        priors: Prior boxes that are in the graph.
        form: What the four numbers of decoded boxes are.
        final: Where final detections are, of a network that ends in several tensors of them.
        facts: What the graph says of the card's fields.
        why: How they were found, for people.
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


# Networks that show their boxes and scores, or that have them somewhere inside.


def from_names(graph: OnnxGraph, boxes: str, scores: str) -> Heads:
    """Return the heads that the user named."""
    for name in (boxes, scores):
        if name not in graph.makers:
            raise NotFoundError(f"the network has no tensor {name!r}")
    if boxes == scores:
        raise NotFoundError(f"--boxes and --scores: found {boxes!r} for both, expected a tensor for each")
    return Heads(boxes, scores, "you named them")


def from_outputs(graph: OnnxGraph, shapes: Shapes, taken: Collection[str] = ()) -> Heads | None:
    """Return the pair of outputs with the most boxes that TensorRT can make, or an output of 7-float rows.

    Args:
        graph: The network.
        shapes: Of its outputs.
        taken: Outputs that are no scores of all classes.
    """
    names = [tensor.name for tensor in graph.model.graph.output]
    for boxes, scores in pairs(graph, {name: shapes[name] for name in names if name in shapes}):
        if scores not in taken and usable(graph, (boxes, scores)):
            if are_alike(graph, shapes, boxes, scores):
                raise NotFoundError(
                    f"{boxes!r} and {scores!r} both have four numbers a box, and no sigmoid or softmax tells "
                    "which are scores: name them with --boxes and --scores"
                )
            return Heads(boxes, scores, "outputs of the network")
    for name in names:
        shape = shapes.get(name, ())
        if len(shape) >= 2 and shape[-1] == 7 and usable(graph, (name,)):
            return Heads(name, "", "an output of the network in the 7-float layout of NMS")
    return None


def from_final(ways: Sequence[FinalDetections]) -> Heads:
    """Return the final detections that can be read in one way.

    Raises:
        NotFoundError: There are more ways, or several tensors with a number of rows that varies.
    """
    first, *others = ways
    instead = "name the boxes and scores in front of its NMS with --boxes and --scores"
    if others:
        raise NotFoundError(
            f"the network ends in detections that can be read in {len(ways)} ways, expected one: {instead}; found "
            + "; ".join(map(str, ways))
        )
    if first.most is None and len(first.tensors) > 1:
        raise NotFoundError(
            f"the network ends in detections in {', '.join(first.tensors)}: found a number of rows that varies, "
            f"expected a fixed one: export the network with a fixed number of detections, or {instead}"
        )
    why = f"its final detections, as many as {first.count!r} says" if first.count else "its final detections"
    return Heads(first.boxes.tensor, "", why, final=first)


def from_inside(graph: OnnxGraph, shapes: Shapes) -> Heads | None:
    """Return the earliest pair of tensors that hold all boxes and scores as the convolutions made them."""
    inner = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 3
        and shape[0] == 1
        and (is_raw(graph, name) or roots(graph, name) in ({"Sigmoid"}, {"Softmax"}))
    }
    for boxes, scores in pairs(graph, inner):
        if is_raw(graph, boxes) and usable(graph, (boxes, scores)) and not are_alike(graph, inner, boxes, scores):
            return Heads(boxes, scores, "tensors in front of the network's own NMS")
    return None


def is_all(graph: OnnxGraph, heads: Heads) -> bool:
    """Tell whether all that a network makes of its heads comes through these, not also from other convolutions."""
    behind = graph.after(heads.tensors)
    outputs = [tensor.name for tensor in graph.model.graph.output if graph.makers.get(tensor.name) in behind]
    shapes = [name for node in graph.nodes if node.op_type in ("Shape", "Size") for name in node.output]
    beside = graph.before(outputs, stop=[*heads.tensors, *shapes])
    return not any(graph.nodes[index].op_type in CONVOLUTIONS for index in beside)


def usable(graph: OnnxGraph, tensors: tuple[str, ...]) -> bool:
    """Tell whether nothing in the way from the first convolution to some tensors hinders TensorRT."""
    before = graph.before(tensors)
    first = min((index for index in before if graph.nodes[index].op_type == "Conv"), default=0)
    return not any(graph.nodes[index].op_type in NOT_FOR_TENSORRT for index in before if index > first)


def pairs(graph: OnnxGraph, shapes: Shapes) -> Iterator[tuple[str, str]]:
    """Yield tensors that may be boxes and scores of the same boxes, those of the most boxes first."""
    likely = []
    for boxes, shape in shapes.items():
        count = box_count(shape)
        for scores, other in shapes.items() if count >= LEAST_BOXES else ():
            size = int(np.prod(other))
            if (
                origin(graph, boxes) not in moved(graph, scores)
                and count in other[1:] + other[:1]
                and size % count == 0
                and len(other) >= 2
            ):
                likely.append((-count, -likeness(graph, boxes, scores), boxes, scores))
    yield from ((boxes, scores) for *_, boxes, scores in sorted(likely, key=lambda item: item[:2]))


def likeness(graph: OnnxGraph, boxes: str, scores: str) -> int:
    """Return 1 where only the second of two tensors becomes scores, -1 where only the first does, else 0."""
    return become_scores(graph, scores) - become_scores(graph, boxes)


def are_alike(graph: OnnxGraph, shapes: Shapes, boxes: str, scores: str) -> bool:
    """Tell whether each of two tensors may be the boxes, and the other one the scores of four classes."""
    return box_count(shapes[boxes]) == box_count(shapes[scores]) and likeness(graph, boxes, scores) == 0


def box_count(shape: tuple[int, ...]) -> int:
    """Return how many boxes a tensor of this shape holds, 0 if it holds none."""
    sizes = [size for size in shape if size != 1]
    if len(sizes) == 2 and 4 in sizes:
        return sizes[0] if sizes[1] == 4 else sizes[1]
    return 0


def check_boxes(heads: Heads, shape: tuple[int, ...]) -> None:
    """Check that boxes of some shape have four numbers each.

    Raises:
        NotFoundError: They have more or fewer.
    """
    count, rest = divmod(int(np.prod(shape)), 4)
    is_flat = len([size for size in shape if size != 1]) == 1
    if rest or not (is_flat or heads.columns or heads.priors or box_count(shape) == count):
        raise NotFoundError(
            f"boxes {heads.boxes!r} have shape {list(shape)}, expected four numbers a box for one image; where "
            "there are more, such as keypoints, export the boxes alone"
        )


def as_arrays(values: Mapping[str, NDArray[Any]]) -> Shapes:
    """Return the shapes of floating point arrays."""
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
"""Operators that move numbers and do not change them."""


CONVOLUTION_LIKE = {
    *("Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Clip", "Relu"),
    "DequantizeLinear",
}
"""Operators that head convolutions end in."""


def roots(graph: OnnxGraph, tensor: str) -> set[str]:
    """Return the operators that computed a tensor's numbers, looking through those that only move them."""
    found = set()
    for name in moved(graph, tensor):
        maker = graph.maker(name)
        if maker is None:
            found |= set() if name in graph.constants else {"input"}
        elif maker.op_type not in LAYOUT:
            found.add(maker.op_type)
    return found


def is_raw(graph: OnnxGraph, tensor: str) -> bool:
    """Tell whether a tensor is what convolutions made, and nothing else; decoding boxes takes an Exp."""
    made = roots(graph, tensor)
    decoded = any(graph.nodes[index].op_type == "Exp" for index in graph.before([tensor]))
    return bool(made) and made <= CONVOLUTION_LIKE and not decoded


def conversion_after(graph: OnnxGraph, tensor: str) -> str | None:
    """Return what a graph itself turns class predictions into scores with: sigmoid, softmax, or None."""
    waiting, seen = [tensor], set()
    while waiting:
        name = waiting.pop()
        for index in graph.readers.get(name, []):
            node = graph.nodes[index]
            if node.op_type in ("Sigmoid", "Softmax"):
                return node.op_type.lower()
            if node.op_type in LAYOUT and index not in seen:
                seen.add(index)
                waiting.extend(node.output)
    return None


def moved(graph: OnnxGraph, tensor: str) -> set[str]:
    """Return the tensors whose numbers another one holds, itself included."""
    found, waiting = set(), [tensor]
    while waiting:
        name = waiting.pop()
        maker = None if name in found else graph.maker(name)
        found.add(name)
        if maker is not None and maker.op_type in LAYOUT:
            waiting.extend(maker.input if maker.op_type == "Concat" else maker.input[:1])
    return found


def origin(graph: OnnxGraph, tensor: str) -> str:
    """Return the tensor whose numbers another one holds all of, in another shape or order."""
    while (maker := graph.maker(tensor)) is not None and maker.op_type in LAYOUT - {"Concat", "Slice"}:
        tensor = maker.input[0]
    return tensor


def become_scores(graph: OnnxGraph, tensor: str) -> bool:
    """Tell whether a sigmoid or a softmax stands between the last convolutions and a tensor, or behind it."""
    starts = (*CONVOLUTIONS, "Shape", "Size")
    stop = {name for node in graph.nodes if node.op_type in starts for name in node.output}
    made_by = {graph.nodes[index].op_type for index in graph.before([tensor], stop)}
    return bool(made_by & {"Sigmoid", "Softmax"}) or conversion_after(graph, tensor) is not None
