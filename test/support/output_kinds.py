"""Networks and cards of each kind of outputs, for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from table_network import (
    ANCHORS,
    CLASSES,
    ZERO,
    table_card,
)

from trt_ssd_ros.models.card import DecodedBoxes, FinalDetections, ModelCard


def decoded_card(**outputs: object) -> ModelCard:
    """Return the card of a table network whose four numbers are corners, 123 of which make an image."""
    fields = {
        "kind": "decoded_boxes",
        "boxes": "boxes",
        "scores": "scores",
        "box_order": "xyxy",
        "score_conversion": "softmax",
        "background": "first",
        "box_scales": (123.0, 123.0, 61.5, 61.5),
    }
    return replace(table_card(), outputs=DecodedBoxes(**{**fields, **outputs}), priors=None)


def any_corners() -> np.ndarray:
    """Rows of bytes (64, 8): boxes of which many overlap and some lie partly outside, and any scores."""
    rng = np.random.default_rng(3)
    rows = rng.integers(ZERO - 60, ZERO + 60, (ANCHORS, 4 + 1 + CLASSES), np.uint8)
    start = rng.integers(-30, 60, (ANCHORS, 2))
    rows[:, :2] = ZERO + start
    rows[:, 2:4] = ZERO + (start + rng.integers(10, 90, (ANCHORS, 2))) // 2
    return rows


ROWS = 9


def rows_network() -> onnx.ModelProto:
    """Build a network whose NMS layout is written by hand into its image: 128 is 0, the units follow below."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        nms (float[N, 3, {ROWS}, 7] image) => (float[N, 1, {ROWS}, 7] NMS, int32[N, 1] count)
        <float zero = {{128}}, float[7] units = {{1, 1, 0.01, 0.02, 0.02, 0.02, 0.02}},
         int64[1] start = {{0}}, int64[1] end = {{1}}, int64[1] axis = {{1}}, int64[1] column = {{2}}> {{
            plane = Slice(image, start, end, axis)
            steps = Sub(plane, zero)
            NMS = Mul(steps, units)
            total = ReduceSum<keepdims = 0>(NMS, column)
            some = Cast<to = 6>(total)
            count = Slice(some, start, end, axis)
        }}"""
    )


def rows_card(**outputs: object) -> ModelCard:
    card = table_card()
    return replace(
        card,
        input=replace(card.input, layout="NCHW", height=ROWS, width=7),
        outputs=FinalDetections(**{"kind": "detections", "rows": "NMS", "background": "first", **outputs}),
        priors=None,
    )


HAND_MADE = np.array(
    [
        [0, 1, 90, 5, 10, 20, 40],
        [0, 3, 95, 0, 0, 50, 50],
        [0, 1, 80, 5, 10, 20, 40],  # the same box again: NMS was the network's, and kept it
        [0, 2, 29, 10, 10, 20, 20],  # under the threshold
        [0, 2, 31, 10, 10, 20, 20],
        [0, 0, 99, 10, 10, 20, 20],  # background
        [0, -1, 99, 10, 10, 20, 20],  # padding
        [0, 4, 99, 10, 10, 20, 20],  # no class of ours
        [-1, 1, 99, 10, 10, 20, 20],  # padding
    ]
)
