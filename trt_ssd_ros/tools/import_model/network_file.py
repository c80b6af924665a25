"""Read an ONNX file, list what is in it, and name files of other kinds with the way to convert them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, ValueInfoProto

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.models.graph_builder import OPSET
from trt_ssd_ros.models.network import in_older_opset, opset, tensors_of
from trt_ssd_ros.models.onnx_graph import OnnxGraph

NEWEST_IR = 10
"""Of ONNX's file format, as older versions of ONNX Runtime read it; enough for all operators up to opset 22."""
NEWEST_OPSET = 21
"""Newer ones are brought back to that of the composed graph, as ONNX Runtime may not know them."""


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with the weights that it keeps beside it.

    Raises:
        ValueError: It is something else.
        OSError: It cannot be read.
    """
    foreign = what_else(path)
    if foreign:
        raise ValueError(f"{path}: expected ONNX, found {foreign}")
    try:
        network = onnx.load(path, "protobuf")  # by its suffix it would be read as JSON or text
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(
            f"{path}: expected ONNX, found something else, or a part of it: is it complete? ({one_line(error)})"
        ) from error
    if not network.graph.node:
        raise ValueError(f"{path}: expected ONNX, found a file without a graph")
    for domain in {node.domain for node in network.graph.node}:
        if domain.startswith("com.microsoft"):
            raise ValueError(
                f"{path}: expected ONNX's own operators, found those of {domain}: ONNX Runtime made them "
                "when it optimised the network for itself; give the file from before that"
            )
    if opset(network) > NEWEST_OPSET:
        try:
            network = in_older_opset(network, OPSET)
        except RuntimeError as error:
            raise ValueError(
                f"{path}: opset {opset(network)} ({error}), expected one up to {NEWEST_OPSET}"
            ) from error
    network.ir_version = min(network.ir_version, NEWEST_IR)
    return network


def keeps_weights_elsewhere(path: Path) -> bool:
    """Tell whether an ONNX file has weights in other files, as torch.onnx writes large networks."""
    network = onnx.load(path, "protobuf", load_external_data=False)
    return any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors_of(network))


def dimensions(tensor: ValueInfoProto) -> list[int | None]:
    """Return a tensor's dimensions, None for each that is not fixed."""
    return [item.dim_value if item.dim_value > 0 else None for item in tensor.type.tensor_type.shape.dim]


def described(tensor: ValueInfoProto) -> str:
    """Return a tensor's name, type and shape, for people."""
    kind = onnx.helper.tensor_dtype_to_string(tensor.type.tensor_type.elem_type).removeprefix("TensorProto.")
    shape = ", ".join("?" if size is None else str(size) for size in dimensions(tensor))
    return f"{tensor.name}: {kind} [{shape}]"


def inventory(graph: OnnxGraph) -> str:
    """List what is in a network: inputs, outputs, and the operators that it ends in."""

    def lines(what: str, tensors: Sequence[ValueInfoProto]) -> list[str]:
        return [f"  {what:<7} {described(tensor)}" for tensor in tensors]

    last = ", ".join(f"{node.op_type} ({', '.join(node.output)})" for node in graph.nodes[-5:])
    outputs = lines("output", graph.model.graph.output)
    return "\n".join([*lines("input", graph.inputs), *outputs, f"  ends in {last}"])


EXPORT = "export it: torch.onnx.export(model, image, 'model.onnx', opset_version=17)"
CONVERT = "convert it: python -m tf2onnx.convert --opset 13 --output model.onnx"
PLAN = "a TensorRT plan: give the ONNX file that it was built of"
TFLITE = f"a TFLite model: {CONVERT} --tflite model.tflite"
KERAS = f"a Keras model: {CONVERT} --saved-model FOLDER, after model.export('FOLDER')"

SUFFIXES = {
    ".etlt": "an encrypted TAO model: export it with TAO 5.0 or newer, which writes .onnx",
    ".tflite": TFLITE,
    ".pb": f"a TensorFlow graph: {CONVERT} --saved-model FOLDER",
    ".h5": KERAS,
    ".keras": KERAS,
    ".pt": f"a PyTorch model: {EXPORT}",
    ".pth": f"the weights of a PyTorch model: {EXPORT}",
    ".uff": "a UFF model: convert the TensorFlow graph that it was made of with tf2onnx",
    ".caffemodel": "a Caffe model: convert it to ONNX, up to what its DetectionOutput reads",
    ".xml": "an OpenVINO model: give the ONNX file that it was made of",
    ".engine": PLAN,
    ".plan": PLAN,
    ".trt": PLAN,
}
"""By their suffix."""

BEGINNINGS = (
    (0, b"ftrt", PLAN),
    (0, b"vtrt", PLAN),
    (4, b"TFL3", TFLITE),
    (0, b"\x89HDF", KERAS),
    (0, b"PK\x03\x04", f"a ZIP archive: unpack it; if PyTorch wrote it, {EXPORT}"),
    (0, b"\x1f\x8b", "a compressed archive: unpack it"),
    (0, b"version https://git-lfs", "a pointer of Git LFS instead of the file: git lfs pull"),
    (0, b"<", "a page of HTML or XML: was it downloaded from where the file itself is?"),
)
"""By the bytes at some place."""


def what_else(path: Path) -> str:
    """Return what a file is if it is no ONNX, and what to do; "" if that cannot be told.

    Raises:
        OSError: It cannot be read.
    """
    if (path / "saved_model.pb").is_file():
        return f"a TensorFlow SavedModel: {CONVERT} --saved-model {path}"
    if path.suffix.lower() in SUFFIXES:
        return SUFFIXES[path.suffix.lower()]
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "an empty file"
    return next((what for place, mark, what in BEGINNINGS if start[place:].startswith(mark)), "")
