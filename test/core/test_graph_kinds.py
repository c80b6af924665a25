"""Networks that decode their boxes themselves, and networks that end in their own NMS, under ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from table_network import (
    ANCHORS,
    CLASSES,
    ZERO,
    assert_same,
    picture,
    table_card,
    table_network,
    textbook_detections,
)
from test_graph import OUR_OPERATORS, own_nodes

from trt_ssd_ros.detection.detector import Detector, Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import DecodedBoxes, FinalDetections, ModelCard
from trt_ssd_ros.models.card_reader import ModelCardError
from trt_ssd_ros.models.graph import compose


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


def found_by(card: ModelCard, network: onnx.ModelProto, image: np.ndarray, thresholds: Thresholds):
    detector = Detector(OnnxRuntimeEngine(compose(network, card)), card)
    detector.thresholds = thresholds
    return detector.detect(image, "rgb")


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"box_order": "yxyx"},
        {"clip_before_nms": True},
        {"score_conversion": "none", "background": "last"},
        {"box_scales": (200.0, 150.0, 100.0, 75.0)},
    ],
    ids=str,
)
def test_decoded_boxes_are_read_as_the_card_says(outputs):
    card, rows = decoded_card(**outputs), any_corners()
    thresholds = Thresholds((0.301,) * CLASSES, 0.45, ANCHORS * CLASSES)
    expected = textbook_detections(rows, card, thresholds)
    assert 5 < len(expected) < ANCHORS * CLASSES
    assert_same(found_by(card, table_network(), picture(rows), thresholds), expected)


def test_clipping_before_nms_is_not_clipping_after_it():
    """Two boxes whose parts inside of the image are the same one, and that hardly overlap outside of it."""
    rows = np.full((ANCHORS, 8), 5, np.uint8)
    rows[:2, :4] = [[ZERO - 123, ZERO, ZERO + 30, ZERO + 30], [ZERO, ZERO - 123, ZERO + 30, ZERO + 30]]
    rows[:2, 5] = 250, 240
    thresholds = Thresholds((0.5,) * CLASSES, 0.5, 10)
    assert len(found_by(decoded_card(), table_network(), picture(rows), thresholds)) == 2
    assert len(found_by(decoded_card(clip_before_nms=True), table_network(), picture(rows), thresholds)) == 1


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


# image, label, confidence in %, x1, y1, x2, y2 in fiftieths
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


def hand_made(thresholds: Thresholds, **outputs: object):
    image = picture((HAND_MADE + ZERO).astype(np.uint8))
    return found_by(rows_card(**outputs), rows_network(), image, thresholds)


def test_rows_of_seven_numbers_come_out_sorted_and_none_is_suppressed():
    found = hand_made(Thresholds((0.3,) * CLASSES, iou=0.0, max_detections=9))
    np.testing.assert_array_equal(found.class_ids, [2, 0, 0, 1])
    np.testing.assert_allclose(found.scores, [0.95, 0.9, 0.8, 0.31], atol=1e-6)
    image = [7, ROWS, 7, ROWS]
    expected = [[0, 0, 1, 1], [0.1, 0.2, 0.4, 0.8], [0.1, 0.2, 0.4, 0.8], [0.2, 0.2, 0.4, 0.4]]
    np.testing.assert_allclose(found.boxes / image, expected, atol=1e-6)


def test_rows_pass_the_threshold_of_their_own_class():
    assert hand_made(Thresholds((0.85, 0.1, 1.5), 0.5, 9)).class_ids.tolist() == [0, 1, 1]
    assert hand_made(Thresholds((0.3, 0.3, 0.3), 0.5, 2)).class_ids.tolist() == [2, 0]


def test_labels_without_a_background_are_class_ids():
    found = hand_made(Thresholds((0.3,) * CLASSES, 0.5, 9), background="none")
    np.testing.assert_array_equal(found.class_ids, [0, 1, 1, 2])
    np.testing.assert_allclose(found.scores, [0.99, 0.9, 0.8, 0.31], atol=1e-6)


def test_rows_in_pixels_are_normalised():
    found = hand_made(Thresholds((0.3,) * CLASSES, 0.5, 9), box_scales=(2.0, 1.0, 2.0, 1.0))
    np.testing.assert_allclose(found.boxes[0] / [7, ROWS, 7, ROWS], [0, 0, 0.5, 1], atol=1e-6)


def test_rows_may_have_y_before_x():
    turned, straight = (
        hand_made(Thresholds((0.3,) * CLASSES, 0.5, 9), box_order=order) for order in ("yxyx", "xyxy")
    )
    image = np.array([7, ROWS, 7, ROWS])
    np.testing.assert_allclose(turned.boxes / image, (straight.boxes / image)[:, [1, 0, 3, 2]], atol=1e-6)


def test_each_image_of_a_batch_has_its_own_rows():
    first = HAND_MADE + ZERO
    second = first.copy()
    second[:, 2] = ZERO
    second[4] = [ZERO, ZERO + 3, ZERO + 77, *first[4, 3:]]
    card = rows_card()
    detector = Detector(OnnxRuntimeEngine(compose(rows_network(), card)), card)
    images = picture(np.stack([first, second]).astype(np.uint8))
    several, one = detector.detect_batch(images, "rgb")
    assert several.class_ids.tolist() == [2, 0, 0]
    assert one.class_ids.tolist() == [2]
    np.testing.assert_allclose(one.scores, [0.77], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "field"),
    [
        (["N", 1, ROWS, 8], "outputs.rows NMS"),
        (["N", 2, ROWS, 7], "outputs.rows NMS"),
        (["N", ROWS, 7], "outputs.rows NMS"),
        (["N", 1, "K", 7], "outputs"),
    ],
)
def test_rows_of_another_layout_are_a_card_error(shape, field):
    network = rows_network()
    network.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("NMS", onnx.TensorProto.FLOAT, shape))
    with pytest.raises(ModelCardError) as caught:
        compose(network, rows_card())
    assert caught.value.field == field


def test_a_dynamic_number_of_decoded_boxes_is_a_card_error():
    network = table_network()
    for tensor in network.graph.output:
        tensor.type.tensor_type.shape.dim[1].dim_param = "A"
    with pytest.raises(ModelCardError, match="an unknown number of boxes, expected one fixed number"):
        compose(network, decoded_card())


@pytest.mark.parametrize("kind", ["decoded_boxes", "detections"])
def test_only_operators_that_tensorrt_runs(kind):
    network, card = (table_network(), decoded_card(box_order="yxyx", clip_before_nms=True))
    if kind == "detections":
        network, card = rows_network(), rows_card()
    model = compose(network, card)
    assert {node.op_type for node in own_nodes(model)} <= OUR_OPERATORS
    assert {tensor.type.tensor_type.elem_type for tensor in model.graph.output} == {
        TensorProto.FLOAT,
        TensorProto.INT32,
    }
