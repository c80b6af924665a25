"""Networks that are no SSD, recognised by their outputs and metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx

from trt_ssd_ros.tools.import_model.network_file import described, dimensions

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32))
"""Pixels per cell of YOLO's feature maps: all sizes, those for large inputs, and the tiny ones."""
USUAL_SIDES = range(160, 1921, 32)
"""Input sides in pixels to consider if the network takes any."""
ANCHORS = 3
"""Boxes per cell of YOLO versions with anchors; later versions have one."""
DETR = {"pred_logits", "pred_boxes"}


def expect_ssd(network: onnx.ModelProto) -> None:
    """Require that a network does not look like one of another kind.

    Raises:
        ValueError: It looks like YOLO or DETR; the message names the evidence.
    """
    outputs = network.graph.output
    kind, evidence = "YOLO", _ultralytics(network) or _yolo_outputs(network)
    if not evidence and {item.name for item in outputs} >= DETR:
        kind, evidence = "DETR", ", ".join(described(item) for item in outputs)
    if evidence:
        raise ValueError(
            f"looks like {kind}: {evidence}; this package runs SSDs: give an SSD, or, if this is one, name its "
            "tensors with --boxes and --scores"
        )


def _ultralytics(network: onnx.ModelProto) -> str:
    """Return the metadata with which Ultralytics exports a network; empty if it ends in final detections."""
    if any(len(shape := dimensions(item)) == 3 and shape[2] == 6 for item in network.graph.output):
        return ""
    texts = (f"{item.key}: {item.value}" for item in network.metadata_props)
    return next((f"its metadata say '{text[:80]}'" for text in texts if re.search("ultralytics", text, re.I)), "")


def _yolo_outputs(network: onnx.ModelProto) -> str:
    """Return an output that holds box and class scores in one row; empty if there is none.

    An SSD has boxes of four numbers in a tensor of their own.
    """
    counts, shapes = _box_counts(network), [dimensions(item) for item in network.graph.output]
    if any(4 in shape[1:] for shape in shapes):
        return ""
    for item, shape in zip(network.graph.output, shapes, strict=True):
        if len(shape) == 3 and _is_table(shape[1], shape[2], counts):
            return f"output {described(item)}, rows of a box and its class scores"
        if len(shape) == 5 and shape[1] == ANCHORS and (shape[4] or 0) > 5:
            return f"output {described(item)}, {ANCHORS} boxes with their class scores in each cell"
    return ""


def _is_table(first: int | None, second: int | None, counts: set[int]) -> bool:
    sides = (first, second) if first is not None and second is not None else (0, 0)
    return max(sides) in counts and min(sides) > 4


def _box_counts(network: onnx.ModelProto) -> set[int]:
    """Return the numbers of boxes that YOLO has for the network's input."""
    inputs = (dimensions(item) for item in network.graph.input)
    sizes = [_size(shape) for shape in inputs if len(shape) == 4]
    fixed = [(height, width) for height, width in sizes if height and width]
    cells = {
        sum((height // stride) * (width // stride) for stride in strides)
        for height, width in fixed or [(side, side) for side in USUAL_SIDES]
        for strides in STRIDES
    }
    return cells | {ANCHORS * count for count in cells}


def _size(shape: Sequence[int | None]) -> tuple[int | None, int | None]:
    """Return the height and width of an image input in NCHW or NHWC."""
    return (shape[1], shape[2]) if shape[3] == 3 else (shape[2], shape[3])
