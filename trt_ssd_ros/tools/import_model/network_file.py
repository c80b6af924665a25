"""ONNX files: reading, an inventory of their tensors, and conversion advice for other formats."""

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

MAX_IR_VERSION = 10
"""Newest ONNX file format that older versions of ONNX Runtime read; sufficient up to opset 22."""
MAX_OPSET = 21
"""Newest opset to keep; newer ones are converted to OPSET, as ONNX Runtime may not know them."""


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX file with its external data.

    Raises:
        ValueError: The file is no ONNX, or has an unsupported operator or opset.
        OSError: The file cannot be read.
    """
    foreign = other_format(path)
    if foreign:
        raise ValueError(f"{path}: expected ONNX, found {foreign}")
    try:
        network = onnx.load(path, "protobuf")  # else the suffix may select JSON or text
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(
            f"{path}: expected ONNX, found another format or an incomplete file ({one_line(error)}): copy or "
            "export it again"
        ) from error
    if not network.graph.node:
        raise ValueError(f"{path}: expected ONNX, found a file without a graph")
    for domain in {node.domain for node in network.graph.node}:
        if domain.startswith("com.microsoft"):
            raise ValueError(
                f"{path}: expected ONNX operators, found those of {domain}, which ONNX Runtime's optimiser "
                "writes: give the file from before that optimisation"
            )
    if opset(network) > MAX_OPSET:
        try:
            network = in_older_opset(network, OPSET)
        except RuntimeError as error:
            raise ValueError(
                f"{path}: found opset {opset(network)} ({error}), expected {MAX_OPSET} or older: export the model "
                f"again with opset {OPSET}"
            ) from error
    network.ir_version = min(network.ir_version, MAX_IR_VERSION)
    return network


def has_external_data(path: Path) -> bool:
    """Return whether an ONNX file keeps weights in other files, as torch.onnx writes large networks."""
    network = onnx.load(path, "protobuf", load_external_data=False)
    return any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors_of(network))


def dimensions(tensor: ValueInfoProto) -> list[int | None]:
    """Return a tensor's dimensions; None for each dynamic one."""
    return [item.dim_value if item.dim_value > 0 else None for item in tensor.type.tensor_type.shape.dim]


def described(tensor: ValueInfoProto) -> str:
    """Return a tensor's name, type and shape as text."""
    kind = onnx.helper.tensor_dtype_to_string(tensor.type.tensor_type.elem_type).removeprefix("TensorProto.")
    shape = ", ".join("?" if size is None else str(size) for size in dimensions(tensor))
    return f"{tensor.name}: {kind} [{shape}]"


def inventory(graph: OnnxGraph) -> str:
    """Return a list of a network's inputs, outputs and last operators as text."""

    def lines(what: str, tensors: Sequence[ValueInfoProto]) -> list[str]:
        return [f"  {what:<7} {described(tensor)}" for tensor in tensors]

    last = ", ".join(f"{node.op_type} ({', '.join(node.output)})" for node in graph.nodes[-5:])
    outputs = lines("output", graph.model.graph.output)
    return "\n".join([*lines("input", graph.inputs), *outputs, f"  ends in {last}"])


EXPORT = "export it: torch.onnx.export(model, image, 'model.onnx', opset_version=17)"
CONVERT = "convert it: python -m tf2onnx.convert --opset 13 --output model.onnx"
PLAN = "a TensorRT plan: give the ONNX file that it was built from"
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
    ".uff": "a UFF model: convert the TensorFlow graph that it was made from with tf2onnx",
    ".caffemodel": "a Caffe model: convert it to ONNX, up to the inputs of its DetectionOutput",
    ".xml": "an OpenVINO model: give the ONNX file that it was made from",
    ".engine": PLAN,
    ".plan": PLAN,
    ".trt": PLAN,
}
"""Other formats by file suffix, with the fix."""

SIGNATURES = (
    (0, b"ftrt", PLAN),
    (0, b"vtrt", PLAN),
    (4, b"TFL3", TFLITE),
    (0, b"\x89HDF", KERAS),
    (0, b"PK\x03\x04", f"a ZIP archive: unpack it; if PyTorch wrote it, {EXPORT}"),
    (0, b"\x1f\x8b", "a compressed archive: unpack it"),
    (0, b"version https://git-lfs", "a Git LFS pointer instead of the file: run git lfs pull"),
    (0, b"<", "an HTML or XML page: download the file itself"),
)
"""Other formats by the bytes at an offset, with the fix."""


def other_format(path: Path) -> str:
    """Return a file's format and the fix if it is a known format other than ONNX, else "".

    Raises:
        OSError: The file cannot be read.
    """
    if (path / "saved_model.pb").is_file():
        return f"a TensorFlow SavedModel: {CONVERT} --saved-model {path}"
    if path.suffix.lower() in SUFFIXES:
        return SUFFIXES[path.suffix.lower()]
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "an empty file"
    return next((advice for offset, magic, advice in SIGNATURES if start[offset:].startswith(magic)), "")
