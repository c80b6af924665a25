"""Network of a model card: reading, checks against the card, and conversion to the graph's opset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx import TensorProto, defs, helper, numpy_helper
from onnx.version_converter import convert_version

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import read_file
from trt_ssd_ros.models.card import FinalDetections, ModelCard, ModelCardError, RawHeads
from trt_ssd_ros.models.graph_builder import OPSET

MAX_NETWORK_SIZE = 2**31 - 1
"""Largest ONNX file in bytes: protobuf's limit."""
QUANTIZED_OPERATORS = {"QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "QLinearConv"}


def load_network(card: ModelCard) -> onnx.ModelProto:
    """Read the card's ONNX file.

    Raises:
        ModelCardError: The file is missing, is no ONNX, or has another digest than the card states.
    """
    try:
        content = read_file(card.onnx.path, MAX_NETWORK_SIZE)
    except OSError as error:
        raise ModelCardError("onnx.path", f"{card.onnx.path} ({error.strerror})", "a readable file") from error
    except ValueError as error:
        raise ModelCardError("onnx.path", str(error), "an ONNX file") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.onnx.sha256.lower():
        raise ModelCardError("onnx.sha256", f"{digest} in {card.onnx.path}", card.onnx.sha256)
    try:
        network = onnx.load_from_string(content)
    except DecodeError as error:
        raise ModelCardError("onnx.path", f"{card.onnx.path} ({error})", "an ONNX file") from error
    if not network.graph.output:
        raise ModelCardError("onnx.path", f"{card.onnx.path} (no graph)", "an ONNX file")
    try:
        check_contained(network)
    except ValueError as error:
        raise ModelCardError("onnx", str(error), "one file with all its data in it") from error
    return network


ELEMENTS_PER_BYTE = 4
"""Most elements of a tensor that ONNX packs into a byte (2-bit integers)."""


def tensors_of(message: Message) -> Iterator[TensorProto]:
    """Yield all tensors in a network, also in nodes, subgraphs and functions."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for item in value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]:
            if isinstance(item, TensorProto):
                yield item
            else:
                yield from tensors_of(item)


def check_contained(network: onnx.ModelProto) -> None:
    """Check that a network has no external data, and that its tensors are as large as they declare.

    Raises:
        ValueError: A tensor has external data or is too small; the message names it.
    """
    for tensor in tensors_of(network):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = next((item.value for item in tensor.external_data if item.key == "location"), "another file")
            raise ValueError(f"tensor {tensor.name!r} with its data in {place!r}")
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > ELEMENTS_PER_BYTE * tensor.ByteSize():
            raise ValueError(f"tensor {tensor.name!r} of {list(tensor.dims)} in {tensor.ByteSize()} bytes")


def check_fit(network: onnx.ModelProto, card: ModelCard) -> None:
    """Check a card against its network before anything is built.

    Raises:
        ModelCardError: A field of the card does not match the network; the message names it.
    """
    image: list[int | None] = [*card.input.shape]
    _check_tensor(network.graph.input, "input.tensor", card.input.tensor, image, "input.layout, height and width")
    for field, name, expected, meaning in _expected_outputs(card):
        _check_tensor(network.graph.output, field, name, expected, meaning)
    box_count(network, card)
    kind = input_type(network, card)
    if kind not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        taken = onnx.helper.tensor_dtype_to_string(kind)
        raise ModelCardError(f"input.tensor {card.input.tensor}", taken, "FLOAT or FLOAT16")
    batch = batch_size(network, card)
    if batch not in (1, "N"):
        raise ModelCardError("onnx", f"a batch of {batch}", "a batch of 1, or better a dynamic one")


def _expected_outputs(card: ModelCard) -> list[tuple[str, str, list[int | None], str]]:
    """Return each output: field, tensor, shape after the batch (None: any), and the fields that determine it."""
    outputs = card.outputs
    if isinstance(outputs, FinalDetections):
        return [("outputs.rows", outputs.rows, [1, None, 7], "outputs.kind detections")]
    columns = len(card.labels) + (outputs.background != "none")
    if isinstance(outputs, RawHeads):
        count, source = len(card.prior_boxes()), "priors"
    else:
        count, source = None, "outputs.kind decoded_boxes"
    return [
        ("outputs.boxes", outputs.boxes, [count, 4], source),
        ("outputs.scores", outputs.scores, [count, columns], f"{source}, labels and background"),
    ]


def _check_tensor(
    tensors: Sequence[onnx.ValueInfoProto], field: str, name: str, expected: list[int | None], meaning: str
) -> None:
    shapes = {tensor.name: _dimensions(tensor) for tensor in tensors}
    if name not in shapes:
        raise ModelCardError(field, repr(name), f"one of the network's tensors {sorted(shapes)}")
    found = shapes[name][1:]
    if len(found) != len(expected) or any(
        None not in (f, e) and f != e for f, e in zip(found, expected, strict=True)
    ):
        raise ModelCardError(f"{field} {name}", ["N", *found], f"{['N', *expected]} from {meaning}")


def box_count(network: onnx.ModelProto, card: ModelCard) -> int:
    """Return the number of boxes, or rows of detections, that a network outputs for an image.

    Raises:
        ModelCardError: The network does not declare one fixed number.
    """
    outputs = card.outputs
    if isinstance(outputs, RawHeads):
        return len(card.prior_boxes())
    shapes = {tensor.name: _dimensions(tensor) for tensor in network.graph.output}
    counts = (
        [shapes[outputs.rows][2]]
        if isinstance(outputs, FinalDetections)
        else [shapes[outputs.boxes][1], shapes[outputs.scores][1]]
    )
    known = {count for count in counts if count is not None}
    if len(known) != 1:
        found = " and ".join(map(str, sorted(known))) or "an unknown number of"
        raise ModelCardError("outputs", f"{found} boxes", "one fixed number of boxes: export the network with it")
    return known.pop()


def batch_size(network: onnx.ModelProto, card: ModelCard) -> int | str:
    """Return the fixed batch size of a network, or "N" if it is dynamic."""
    return _dimensions(_input(network, card))[0] or "N"


def input_type(network: onnx.ModelProto, card: ModelCard) -> int:
    """Return the data type of a network's input: TensorProto.FLOAT, or FLOAT16 in half precision."""
    return _input(network, card).type.tensor_type.elem_type


def is_quantized(model: onnx.ModelProto) -> bool:
    """Return whether a network, or a graph that contains one, computes in 8-bit integers."""
    return any(node.op_type in QUANTIZED_OPERATORS for node in model.graph.node)


def _input(network: onnx.ModelProto, card: ModelCard) -> onnx.ValueInfoProto:
    tensors: dict[str, onnx.ValueInfoProto] = {tensor.name: tensor for tensor in network.graph.input}
    return tensors[card.input.tensor]


def _dimensions(tensor: onnx.ValueInfoProto) -> list[int | None]:
    """Return a tensor's dimensions; None for each dynamic one."""
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.type.tensor_type.shape.dim]


def as_graph_opset(network: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a network to the composed graph's opset.

    Raises:
        ModelCardError: An operator of the network cannot be converted.
    """
    version = opset(network)
    if version == OPSET:
        return network
    try:
        return in_older_opset(network, OPSET) if version > OPSET else convert_version(network, OPSET)
    except RuntimeError as error:
        raise ModelCardError(
            "onnx",
            f"opset {version} ({one_line(error)})",
            f"opset {OPSET}: export the model again with opset {OPSET}",
        ) from error


IR_VERSION = 8

DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "Resize": {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"},
    "Cast": {"saturate": 1},
    "AveragePool": {"dilations": [1, 1]},
    "DequantizeLinear": {"block_size": 0, "output_dtype": 0},
    "QuantizeLinear": {"block_size": 0, "saturate": 1, "output_dtype": 0},
}
"""Attributes of newer operators, with the values for which they behave like the older operators."""


REDUCTIONS = [
    f"Reduce{name}" for name in ("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
]
"""Reductions whose axes became an input in opset 18; those of ReduceSum became one in opset 13."""


def opset(network: onnx.ModelProto) -> int:
    """Return the opset of ONNX's own operators in a network; 0 if it declares none."""
    return max((item.version for item in network.opset_import if item.domain in ("", "ai.onnx")), default=0)


def in_older_opset(network: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return a copy of a network in an older opset.

    Most operators only gain types from one opset to the next. Other changes are undone: axes of reductions become
    an attribute again, and attributes at their default are removed.

    Raises:
        RuntimeError: An operator, or one of its attributes or inputs, is newer.
    """
    older = onnx.ModelProto()
    older.CopyFrom(network)
    constants = {tensor.name: tensor for tensor in older.graph.initializer} | {
        node.output[0]: node.attribute[0].t
        for node in older.graph.node
        if node.op_type == "Constant" and node.attribute[0].HasField("t")
    }
    for node in older.graph.node:
        if node.domain in ("", "ai.onnx"):
            _make_older(node, version, constants)
    del older.opset_import[:]
    others = [item for item in network.opset_import if item.domain not in ("", "ai.onnx")]
    older.opset_import.extend([helper.make_opsetid("", version), *others])
    older.ir_version = min(older.ir_version, IR_VERSION)
    _remove_unread(older.graph)
    return older


def _make_older(node: onnx.NodeProto, version: int, constants: Mapping[str, onnx.TensorProto]) -> None:
    if node.op_type in REDUCTIONS:
        _axes_as_attribute(node, constants)
    if node.op_type == "Split":
        _remove_attribute(node, "num_outputs")  # before opset 18, the number of outputs itself
    try:
        schema = defs.get_schema(node.op_type, version, "")
    except defs.SchemaError as error:
        reason = "newer" if defs.has(node.op_type) else "no ONNX operator"
        raise RuntimeError(f"operator {node.op_type} is {reason}") from error
    defaults = DEFAULTS.get(node.op_type, {})
    for attribute in list(node.attribute):
        if attribute.name not in schema.attributes:
            if helper.get_attribute_value(attribute) != defaults.get(attribute.name):
                raise RuntimeError(f"{node.op_type} has the newer attribute {attribute.name}")
            node.attribute.remove(attribute)
    while len(node.input) > schema.max_input and not node.input[-1]:
        del node.input[-1]
    if len(node.input) > schema.max_input:
        raise RuntimeError(f"{node.op_type} has {len(node.input)} inputs, which only a newer opset allows")


def _axes_as_attribute(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> None:
    """Move the axes of a reduction from an input to an attribute."""
    if len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            raise RuntimeError(f"the axes of {node.op_type} are computed, not constant")
        axes = numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
        node.attribute.append(helper.make_attribute("axes", axes))
    elif any(attribute.name == "noop_with_empty_axes" and attribute.i for attribute in node.attribute):
        raise RuntimeError(f"{node.op_type} has the newer attribute noop_with_empty_axes")
    del node.input[1:]
    _remove_attribute(node, "noop_with_empty_axes")


def _remove_unread(graph: onnx.GraphProto) -> None:
    """Remove stored tensors that no node reads."""
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return  # a subgraph may read outer tensors
    read = {name for node in graph.node for name in node.input} | {tensor.name for tensor in graph.output}
    for tensor in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(tensor)


def _remove_attribute(node: onnx.NodeProto, name: str) -> None:
    for attribute in [item for item in node.attribute if item.name == name]:
        node.attribute.remove(attribute)
