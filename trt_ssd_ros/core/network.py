"""The network behind a model card: read it, check that the card fits it, bring it to the graph's opset."""

from __future__ import annotations

import hashlib

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from trt_ssd_ros.core.graph_builder import OPSET
from trt_ssd_ros.core.model_card import ModelCard, ModelCardError
from trt_ssd_ros.core.untrusted import check_contained, read_file

MAX_NETWORK_SIZE = 2**31 - 1
"""Bytes that an ONNX file may have: protobuf's limit."""


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


def check_fit(network: onnx.ModelProto, card: ModelCard, prior_count: int) -> None:
    """Check a card against its network before anything is built.

    Raises:
        ModelCardError: Names the field of the card that does not fit.
    """
    inputs = {tensor.name: _dimensions(tensor) for tensor in network.graph.input}
    outputs = {tensor.name: _dimensions(tensor) for tensor in network.graph.output}
    opset = max((item.version for item in network.opset_import if item.domain in ("", "ai.onnx")), default=0)
    if opset > OPSET:
        raise ModelCardError("onnx", f"opset {opset}", f"opset {OPSET} or lower, so that every TensorRT reads it")
    size = [card.input.height, card.input.width]
    columns = len(card.labels) + (card.outputs.background != "none")
    image = [*size, 3] if card.input.layout == "NHWC" else [3, *size]
    for field, name, tensors, expected, meaning in (
        ("input.tensor", card.input.tensor, inputs, image, "input.layout, height and width"),
        ("outputs.boxes", card.outputs.boxes, outputs, [prior_count, 4], "priors"),
        (
            "outputs.scores",
            card.outputs.scores,
            outputs,
            [prior_count, columns],
            "priors, labels and background",
        ),
    ):
        if name not in tensors:
            raise ModelCardError(field, repr(name), f"one of the network's tensors {sorted(tensors)}")
        found = tensors[name][1:]
        if len(found) != len(expected) or any(f not in (e, None) for f, e in zip(found, expected, strict=True)):
            raise ModelCardError(f"{field} {name}", ["N", *found], f"{['N', *expected]} from {meaning}")
    kind = input_type(network, card)
    if kind not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        taken = onnx.helper.tensor_dtype_to_string(kind)
        raise ModelCardError(f"input.tensor {card.input.tensor}", taken, "FLOAT or FLOAT16")
    batch = batch_size(network, card)
    if batch not in (1, "N"):
        raise ModelCardError("onnx", f"a batch of {batch}", "a batch of 1, or better a dynamic one")


def batch_size(network: onnx.ModelProto, card: ModelCard) -> int | str:
    """Return the only batch size that a network takes, or "N" if it takes any."""
    return _dimensions(_input(network, card))[0] or "N"


def input_type(network: onnx.ModelProto, card: ModelCard) -> int:
    """Return the type of the numbers that a network takes: TensorProto.FLOAT, or FLOAT16 in half precision."""
    return _input(network, card).type.tensor_type.elem_type


def _input(network: onnx.ModelProto, card: ModelCard) -> onnx.ValueInfoProto:
    tensors: dict[str, onnx.ValueInfoProto] = {tensor.name: tensor for tensor in network.graph.input}
    return tensors[card.input.tensor]


def _dimensions(tensor: onnx.ValueInfoProto) -> list[int | None]:
    """Return a tensor's dimensions, None for each dynamic one."""
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.type.tensor_type.shape.dim]


def as_graph_opset(network: onnx.ModelProto) -> onnx.ModelProto:
    """Translate an older network: the same operator may mean something else in the composed graph's opset."""
    if all(item.version == OPSET for item in network.opset_import if item.domain in ("", "ai.onnx")):
        return network
    try:
        return onnx.version_converter.convert_version(network, OPSET)
    except RuntimeError as error:
        raise ModelCardError("onnx", f"a network of an older opset ({error})", f"opset {OPSET}") from error
