"""What made the numbers of a tensor, and what becomes of them."""

from __future__ import annotations

from trt_ssd_ros.models.onnx_graph import OnnxGraph

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
    found, waiting, seen = set(), [tensor], set()
    while waiting:
        name = waiting.pop()
        node = graph.maker(name)
        if node is None:
            found.add("" if name in graph.constants else "input")
        elif node.op_type not in LAYOUT:
            found.add(node.op_type)
        elif name not in seen:
            seen.add(name)
            moved = node.input if node.op_type == "Concat" else node.input[:1]
            waiting.extend(moved)
    return found - {""}


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
        found.add(name)
        maker = graph.maker(name)
        if maker is not None and maker.op_type in LAYOUT:
            waiting.extend(maker.input if maker.op_type == "Concat" else maker.input[:1])
    return found


def origin(graph: OnnxGraph, tensor: str) -> str:
    """Return the tensor whose numbers another one holds all of, in another shape or order."""
    while (maker := graph.maker(tensor)) is not None and maker.op_type in LAYOUT - {"Concat", "Slice"}:
        tensor = maker.input[0]
    return tensor


def become_scores(graph: OnnxGraph, tensor: str) -> bool:
    """Tell whether a sigmoid or a softmax made a tensor, or makes something of it."""
    return bool(roots(graph, tensor) & {"Sigmoid", "Softmax"}) or conversion_after(graph, tensor) is not None
