"""What a file is that is no ONNX, and what to do."""

from __future__ import annotations

from pathlib import Path

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
