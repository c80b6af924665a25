"""A network that is a look-up table: each byte of its image stands for one number, infinities and NaN included.

So one session sees any box encodings and class scores that a test can think of, and NumPy can tell what must
come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import (
    DecodedBoxes,
    Defaults,
    ModelCard,
    NetworkInput,
    OnnxFile,
    RawHeads,
)
from trt_ssd_ros.models.graph_nms import COORDINATE_LIMIT
from trt_ssd_ros.models.priors import SsdAnchorGenerator

ANCHORS = 64
CLASSES = 3

# A byte from 5 on stands for a number of steps from -123 to 127; those below for what a broken network emits.
BROKEN = [np.nan, np.inf, -np.inf, 1e30, -1e30]
ZERO = 128
STEPS = np.array([*BROKEN, *np.arange(5, 256) - ZERO])
ENCODINGS = STEPS.astype(np.float32)
LOGITS = (STEPS / 16).astype(np.float32)
NAN, INFINITY, MINUS_INFINITY, HUGE, MINUS_HUGE = range(5)

# All boxes are 1/8 wide and high and stand in 8 rows of 8. One step of an encoding moves a box by 0.2 of its own
# width or height (the scale 5), or stretches it by e^(1/50).
BOX_SIDE = 0.125
BOX_SCALES = {"x": 5.0, "y": 5.0, "w": 50.0, "h": 50.0}


def table_network(columns: int = CLASSES + 1, layout: str = "NHWC", channel: int = 0) -> onnx.ModelProto:
    """Build a network that reads an image ANCHORS high and 4 + columns wide: one row of bytes per anchor."""
    width = 4 + columns
    image = ["N", ANCHORS, width, 3] if layout == "NHWC" else ["N", 3, ANCHORS, width]
    constants = {
        "channel": np.array(channel, np.int64),
        "encoding_table": ENCODINGS,
        "logit_table": LOGITS,
        "parts": np.array([4, columns], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["image", "channel"], ["plane"], axis=image.index(3)),
        helper.make_node("Cast", ["plane"], ["bytes"], to=TensorProto.INT64),
        helper.make_node("Split", ["bytes", "parts"], ["box_bytes", "class_bytes"], axis=2),
        helper.make_node("Gather", ["encoding_table", "box_bytes"], ["boxes"], axis=0),
        helper.make_node("Gather", ["logit_table", "class_bytes"], ["scores"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", ANCHORS, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", ANCHORS, columns]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def table_card(columns: int = CLASSES + 1, candidates: int = ANCHORS * CLASSES, **outputs: object) -> ModelCard:
    """Return the card of a table network; `outputs` replaces fields of its RawHeads."""
    width = 4 + columns
    order = str(outputs.get("box_order", "yxhw"))
    # Scaled by the shorter side, `width`, the boxes would be oblong: the ratio makes them square again.
    ratio = width / ANCHORS
    fields = {
        "kind": "raw_heads",
        "boxes": "boxes",
        "scores": "scores",
        "box_order": order,
        "box_scales": tuple(BOX_SCALES[letter] for letter in order),
        "score_conversion": "sigmoid",
        "background": "first",
    }
    return ModelCard(
        name="table",
        family="test",
        licence="none",
        source="test_graph.py",
        onnx=OnnxFile(Path("table.onnx"), ""),
        input=NetworkInput("image", "NHWC", ANCHORS, width, "rgb", (0, 0, 0), (1, 1, 1)),
        outputs=RawHeads(**{**fields, **outputs}),
        priors=SsdAnchorGenerator((8,), BOX_SIDE / ratio**0.5, 1.0, (ratio,), 0, reduce_lowest=False),
        labels=tuple(f"class {index}" for index in range(CLASSES)),
        defaults=Defaults(0.5, 0.5, candidates, candidates),
    )


# What is in a picture, decoded independently in float64.


@dataclass
class Decoded:
    """Boxes (64, 4) normalised to the image and scores (64, 3) of one table image."""

    boxes: np.ndarray
    scores: np.ndarray


def decode(rows: np.ndarray, card: ModelCard) -> Decoded:
    """Decode one image's rows of bytes (64, 4 + columns) as its card says."""
    scores = decode_scores(STEPS[rows[:, 4:]] / 16, card.outputs.score_conversion)
    first = 1 if card.outputs.background == "first" else 0
    return Decoded(decode_boxes(STEPS[rows[:, :4]], card.outputs), scores[:, first : first + CLASSES])


def decode_boxes(numbers: np.ndarray, outputs: RawHeads | DecodedBoxes) -> np.ndarray:
    if isinstance(outputs, DecodedBoxes):
        corners = (numbers / outputs.box_scales)[:, [0, 1, 2, 3] if outputs.box_order == "xyxy" else [1, 0, 3, 2]]
        return corners.clip(0, 1) if outputs.clip_before_nms else corners
    encoded = dict(zip(outputs.box_order, numbers.T, strict=True))
    anchor = np.arange(ANCHORS)
    with np.errstate(over="ignore", invalid="ignore"):
        x = (anchor % 8 + 0.5) / 8 + encoded["x"] / BOX_SCALES["x"] * BOX_SIDE
        y = (anchor // 8 + 0.5) / 8 + encoded["y"] / BOX_SCALES["y"] * BOX_SIDE
        width = np.exp(encoded["w"] / BOX_SCALES["w"]) * BOX_SIDE
        height = np.exp(encoded["h"] / BOX_SCALES["h"]) * BOX_SIDE
        return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def decode_scores(values: np.ndarray, conversion: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        if conversion == "sigmoid":
            return 1 / (1 + np.exp(-values))
        if conversion == "softmax":
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        return values


def iou_matrix(boxes: np.ndarray) -> np.ndarray:
    """Return intersection over union (64, 64) of every two boxes, 0 where neither has an area."""
    with np.errstate(invalid="ignore"):
        ends = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        starts = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        intersection = np.prod(np.maximum(ends - starts, 0), axis=2)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        return np.nan_to_num(intersection / (area[:, None] + area[None, :] - intersection))


def is_close_call(rows: np.ndarray, thresholds: Thresholds) -> bool:
    """Tell whether float32 could tip an overlap over its threshold, or a box over the edge of the image."""
    card = table_card()
    boxes = decode(rows, card).boxes
    with np.errstate(invalid="ignore"):
        overlap = np.abs(iou_matrix(boxes) - thresholds.iou) < 5e-4
        return bool(np.any(overlap) or np.any(np.abs(inside(boxes, image_size(card))) < 1e-3))


def image_size(card: ModelCard) -> np.ndarray:
    return np.array([card.input.width, card.input.height])


def inside(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return how many pixels of boxes' (N, 4) width and height are inside of the image; below 0: outside."""
    return (np.minimum(boxes[:, 2:], 1) - np.maximum(boxes[:, :2], 0)) * size


def textbook_nms(decoded: Decoded, thresholds: Thresholds) -> list[tuple[int, int]]:
    """Return the kept pairs of anchor and class, best first: greedy NMS as every textbook has it, in float64."""
    usable = np.all(np.abs(decoded.boxes) <= COORDINATE_LIMIT, axis=1)
    passing = (decoded.scores >= np.array(thresholds.classes)) & usable[:, None]
    overlap = iou_matrix(decoded.boxes) > thresholds.iou
    kept: list[tuple[int, int]] = []
    for anchor, class_id in sorted(np.argwhere(passing).tolist(), key=lambda at: -decoded.scores[tuple(at)]):
        if not any(overlap[anchor, other] for other, same in kept if same == class_id):
            kept.append((anchor, class_id))
    return kept


def textbook_detections(rows: np.ndarray, card: ModelCard, thresholds: Thresholds) -> Detections:
    """Return what must be found in an image with these rows of bytes, in its pixels."""
    decoded = decode(rows, card)
    seen = (inside(decoded.boxes, image_size(card)) > 0).all(axis=1)
    kept = [pair for pair in textbook_nms(decoded, thresholds) if seen[pair[0]]][: thresholds.max_detections]
    anchors, class_ids = np.array(kept, np.int32).reshape(-1, 2).T
    size = np.tile(image_size(card), 2)
    return Detections(
        np.clip(decoded.boxes[anchors] * size, 0, size), decoded.scores[anchors, class_ids], class_ids
    )


def assert_same(found: Detections, expected: Detections) -> None:
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-3)


def assert_identical(found: Detections, expected: Detections) -> None:
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


# Pictures.


def picture(rows: np.ndarray, channel: int = 0) -> np.ndarray:
    """Put rows of bytes (..., 64, width) into one channel of an image (..., 64, width, 3), noise into the rest."""
    image = np.random.default_rng(0).integers(0, 256, (*rows.shape, 3), np.uint8)
    image[..., channel] = rows
    return image


def nothing() -> np.ndarray:
    """Rows of bytes (64, 8) with every box where its prior is and every logit -infinity."""
    rows = np.full((ANCHORS, 4 + 1 + CLASSES), ZERO, np.uint8)
    rows[:, 4:] = MINUS_INFINITY
    return rows


def chain(length: int) -> np.ndarray:
    """Rows of bytes with boxes of class 0 in a row, each a step (IoU 2/3) from the next, ever less certain.

    Boxes two steps apart have an IoU of 3/7, so between those numbers each overlaps its neighbours only.
    """
    rows = nothing()
    link = np.arange(length)
    row, column = link // 8, link % 8
    rows[:length, 0] = ZERO - 5 * row  # y: all in one line
    rows[:length, 1] = ZERO + link - 30 - 5 * column  # x: a step further each
    rows[:length, 5] = 250 - link
    return rows


# What broken networks, duplicates, ties and crowds are made of: near ZERO the boxes overlap.
BYTES = st.one_of(st.integers(ZERO - 6, ZERO + 6), st.integers(0, 255), st.sampled_from(range(len(BROKEN))))


@st.composite
def pictures(draw: st.DrawFn, batch: int = 1) -> np.ndarray:
    """Rows of bytes (batch, 64, 8), made of few different ones so that duplicates and ties abound."""
    shape = (batch, ANCHORS, 4 + 1 + CLASSES)
    size = math.prod(shape)
    choices = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    box_bytes, class_bytes = (np.array(draw(st.lists(BYTES, min_size=1, max_size=8)), np.uint8) for _ in range(2))
    rows = class_bytes[choices % len(class_bytes)].reshape(shape)
    rows[..., :4] = box_bytes[choices % len(box_bytes)].reshape(shape)[..., :4]
    return rows


@st.composite
def chains(draw: st.DrawFn) -> np.ndarray:
    """Rows of bytes (1, 64, 8) with a chain of class 0, up to four times as deep as the rounds, and a crowd."""
    rows = draw(pictures())
    length = draw(st.integers(1, 60))
    rows[0, :length, :6] = chain(length)[:length, :6]
    return rows


# Halfway between two logits of the table, so that rounding cannot decide; all pass, none passes, switched off.
SCORE_THRESHOLDS = st.one_of(
    st.integers(-ZERO, ZERO).map(lambda step: float(1 / (1 + np.exp(-(step + 0.5) / 16)))),
    st.sampled_from([1e-4, 0.99999, 1.5]),
)
THRESHOLDS = st.builds(
    Thresholds,
    st.tuples(*[SCORE_THRESHOLDS] * CLASSES),
    st.sampled_from([0.05, 0.3, 0.45, 0.617, 0.95]),
    st.sampled_from([1, 5, ANCHORS * CLASSES]),
)
LOW = Thresholds((1e-4,) * CLASSES, 0.5, ANCHORS * CLASSES)


def detector_with(engine: OnnxRuntimeEngine, thresholds: Thresholds) -> Detector:
    detector = Detector(engine, table_card())
    detector.thresholds = thresholds
    return detector


def run(engine: OnnxRuntimeEngine, rows: np.ndarray, thresholds: Thresholds) -> dict[str, np.ndarray]:
    """Run the graph alone on a batch of rows (N, 64, 8) and return its outputs."""
    return dict(
        engine.run(
            {
                "image": picture(rows),
                "channel_order": np.array([0, 1, 2], np.int32),
                "class_threshold": np.array(thresholds.classes, np.float32),
                "iou_threshold": np.array([thresholds.iou], np.float32),
            }
        )
    )
