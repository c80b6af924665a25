"""The network behind a model card: read it, check that the card fits, bring it to the graph's opset."""

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
"""Bytes that an ONNX file may have: protobuf's limit."""
QUANTIZED_OPERATORS = {"QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "QLinearConv"}


def load_network(card: ModelCard) -> onnx.ModelProto:
    """Read the card's ONNX file.

    Raises:
        ModelCardError: The file is missing, is not the one the card describes, or is no ONNX.
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


ELEMENTS_A_BYTE = 4
"""Most elements of a tensor that ONNX packs into a byte (2-bit integers)."""


def tensors_of(message: Message) -> Iterator[TensorProto]:
    """Yield every tensor in a network, those of nodes, subgraphs and functions included."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for item in value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]:
            if isinstance(item, TensorProto):
                yield item
            else:
                yield from tensors_of(item)


def check_contained(network: onnx.ModelProto) -> None:
    """Check that a network reads no other file, and that its tensors hold what they announce.

    Raises:
        ValueError: Names the tensor.
    """
    for tensor in tensors_of(network):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = next((item.value for item in tensor.external_data if item.key == "location"), "another file")
            raise ValueError(f"tensor {tensor.name!r} with its data in {place!r}")
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > ELEMENTS_A_BYTE * tensor.ByteSize():
            raise ValueError(f"tensor {tensor.name!r} of {list(tensor.dims)} in {tensor.ByteSize()} bytes")


def check_fit(network: onnx.ModelProto, card: ModelCard) -> None:
    """Check a card against its network before anything is built.

    Raises:
        ModelCardError: Names the field of the card that does not fit.
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
    """Return each output: field, tensor, shape behind the batch (None: any), and what in the card says so."""
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
    """Return how many boxes, or rows of detections, a network emits for an image.

    Raises:
        ModelCardError: The network does not say.
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
        raise ModelCardError("outputs", f"{known or 'an unknown number of'} boxes", "one fixed number of them")
    return known.pop()


def batch_size(network: onnx.ModelProto, card: ModelCard) -> int | str:
    """Return the only batch size that a network takes, or "N" if it takes any."""
    return _dimensions(_input(network, card))[0] or "N"


def input_type(network: onnx.ModelProto, card: ModelCard) -> int:
    """Return the type of the numbers that a network takes: TensorProto.FLOAT, or FLOAT16 in half precision."""
    return _input(network, card).type.tensor_type.elem_type


def is_quantized(model: onnx.ModelProto) -> bool:
    """Tell whether a network, or a graph with one in it, computes with whole numbers of 8 bits."""
    return any(node.op_type in QUANTIZED_OPERATORS for node in model.graph.node)


def _input(network: onnx.ModelProto, card: ModelCard) -> onnx.ValueInfoProto:
    tensors: dict[str, onnx.ValueInfoProto] = {tensor.name: tensor for tensor in network.graph.input}
    return tensors[card.input.tensor]


def _dimensions(tensor: onnx.ValueInfoProto) -> list[int | None]:
    """Return a tensor's dimensions, None for each dynamic one."""
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.type.tensor_type.shape.dim]


def as_graph_opset(network: onnx.ModelProto) -> onnx.ModelProto:
    """Translate a network to the composed graph's opset, in which the same operator may mean something else.

    Raises:
        ModelCardError: It has an operator that cannot be translated.
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
"""Attributes that newer operators have, and the values with which they do what the older ones do."""


REDUCTIONS = [
    f"Reduce{name}" for name in ("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
]
"""Those whose axes became an input in opset 18; ReduceSum's did in 13."""


def opset(network: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators in a network, 0 if it has none."""
    return max((item.version for item in network.opset_import if item.domain in ("", "ai.onnx")), default=0)


def in_older_opset(network: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return a copy of a network in an older opset.

    From one opset to the next most operators take more types and nothing else changes. What does change is
    undone: axes of reductions are an attribute again, and what is at its default is left out.

    Raises:
        RuntimeError: An operator, or something that one of them uses, is newer.
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
    _drop_unread(older.graph)
    return older


def _make_older(node: onnx.NodeProto, version: int, constants: Mapping[str, onnx.TensorProto]) -> None:
    if node.op_type in REDUCTIONS:
        _axes_as_attribute(node, constants)
    if node.op_type == "Split":
        _drop(node, "num_outputs")  # opset 18; before it was the number of outputs
    try:
        schema = defs.get_schema(node.op_type, version, "")
    except defs.SchemaError as error:
        what = "newer" if defs.has(node.op_type) else "none of ONNX's"
        raise RuntimeError(f"operator {node.op_type} is {what}") from error
    defaults = DEFAULTS.get(node.op_type, {})
    for attribute in list(node.attribute):
        if attribute.name not in schema.attributes:
            if helper.get_attribute_value(attribute) != defaults.get(attribute.name):
                raise RuntimeError(f"{node.op_type} has {attribute.name}, which is newer")
            node.attribute.remove(attribute)
    while len(node.input) > schema.max_input and not node.input[-1]:
        del node.input[-1]
    if len(node.input) > schema.max_input:
        raise RuntimeError(f"{node.op_type} has {len(node.input)} inputs, which is newer")


def _axes_as_attribute(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> None:
    """Opset 18: the axes of reductions other than ReduceSum are an input."""
    if len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            raise RuntimeError(f"the axes of {node.op_type} are computed")
        axes = numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
        node.attribute.append(helper.make_attribute("axes", axes))
    elif any(attribute.name == "noop_with_empty_axes" and attribute.i for attribute in node.attribute):
        raise RuntimeError(f"{node.op_type} has noop_with_empty_axes, which is newer")
    del node.input[1:]
    _drop(node, "noop_with_empty_axes")


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove stored tensors that no node reads any more."""
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return  # a body may read what is around it
    read = {name for node in graph.node for name in node.input} | {tensor.name for tensor in graph.output}
    for tensor in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(tensor)


def _drop(node: onnx.NodeProto, name: str) -> None:
    for attribute in [item for item in node.attribute if item.name == name]:
        node.attribute.remove(attribute)
