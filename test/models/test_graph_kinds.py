"""Networks that decode their boxes themselves, and networks that end in their own NMS, under ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_nodes import OUR_OPERATORS, own_nodes
from onnx import TensorProto
from output_kinds import HAND_MADE, ROWS, any_corners, decoded_card, rows_card, rows_network
from table_network import (
    ANCHORS,
    CLASSES,
    ZERO,
    assert_same,
    picture,
    table_network,
    textbook_detections,
)

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.graph import compose


def found_by(card: ModelCard, network: onnx.ModelProto, image: np.ndarray, thresholds: Thresholds) -> Detections:
    detector = open_onnxruntime(card, network)
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


# image, label, confidence in %, x1, y1, x2, y2 in fiftieths


def hand_made(thresholds: Thresholds, **outputs: object) -> Detections:
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
    detector = open_onnxruntime(card, rows_network())
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
