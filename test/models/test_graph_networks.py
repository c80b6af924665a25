"""The graph around networks of every kind that a card can describe, under ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from table_network import (
    ANCHORS,
    BROKEN,
    CLASSES,
    ZERO,
    assert_same,
    picture,
    table_card,
    table_network,
    textbook_detections,
)

from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_onnxruntime
from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.priors import SsdAnchorGenerator

ANY_ROWS = np.random.default_rng(7).integers(len(BROKEN), 256, (ANCHORS, 4 + 1 + CLASSES), np.uint8)
ANY_ROWS[:, :4] = ANY_ROWS[:, :4] % 60 + ZERO - 30


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"box_order": "xywh"},
        {"background": "last"},
        {"background": "none"},
        {"score_conversion": "none"},
        {"score_conversion": "none", "background": "none"},
        {"score_conversion": "softmax"},
        {"score_conversion": "softmax", "background": "last"},
        {"score_conversion": "softmax", "background": "none"},
    ],
    ids=str,
)
def test_outputs_are_read_as_the_card_says(outputs):
    columns = CLASSES + (outputs.get("background") != "none")
    card = table_card(columns, **outputs)
    rows = ANY_ROWS[:, : 4 + columns]
    detector = open_onnxruntime(card, table_network(columns))
    detector.thresholds = Thresholds((0.301,) * CLASSES, 0.45, ANCHORS * CLASSES)
    expected = textbook_detections(rows, card, detector.thresholds)
    assert len(expected) > 5
    assert_same(detector.detect(picture(rows), "rgb"), expected)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("network_order", ["rgb", "bgr"])
@pytest.mark.parametrize("camera_order", ["rgb", "bgr"])
@pytest.mark.parametrize("colour", "rgb")
def test_each_colour_reaches_the_network_s_channel_for_it(layout, network_order, camera_order, colour):
    """The network looks at one channel only, and the camera has noise in the others."""
    card = table_card()
    card = replace(card, input=replace(card.input, layout=layout, channel_order=network_order))
    network = table_network(layout=layout, channel=network_order.index(colour))
    detector = open_onnxruntime(card, network)
    image = picture(ANY_ROWS, channel=camera_order.index(colour))
    assert_same(detector.detect(image, camera_order), textbook_detections(ANY_ROWS, card, detector.thresholds))


def echo_model(size: int, channel: int = 0, **fields: object) -> tuple[onnx.ModelProto, ModelCard]:
    """Return a composed graph that reports one channel of a size x size input as scores / 1000, and its card."""
    network = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        echo (float[N, {size}, {size}, 3] image) => (float[N, {size**2}, 4] boxes, float[N, {size**2}, 1] scores)
        <int64 channel = {{{channel}}}, int64[3] flat = {{0, {size**2}, 1}}, float thousand = {{1000}}> {{
            plane = Gather<axis=3>(image, channel)
            pixels = Reshape(plane, flat)
            scores = Div(pixels, thousand)
            zero = Sub(scores, scores)
            boxes = Concat<axis=2>(zero, zero, zero, zero)
        }}"""
    )
    card = table_card(candidates=size**2, score_conversion="none", background="none")
    image = {"height": size, "width": size, **fields}
    card = replace(
        card,
        labels=("pixel",),
        input=replace(card.input, **image),
        priors=SsdAnchorGenerator((size,), 0.01, 0.01, (1.0,), 0, reduce_lowest=False),
    )
    return compose(network, card), card


def echo(model: onnx.ModelProto, image: np.ndarray, size: int) -> np.ndarray:
    """Return the plane that an echo network saw."""
    outputs = OnnxRuntimeEngine(model).run(
        {
            "image": image[None],
            "channel_order": np.array([0, 1, 2], np.int32),
            "class_threshold": np.array([0], np.float32),
            "iou_threshold": np.array([1], np.float32),
        }
    )
    column, row = (outputs["boxes"][0, :, :2] * size).astype(int).T
    plane = np.empty((size, size))
    plane[row, column] = outputs["scores"][0] * 1000
    return plane


@pytest.mark.parametrize("channel", range(3))
def test_every_channel_has_its_own_mean_and_scale(channel):
    mean, scale = (10.0, 20.0, 30.0), (1.0, 2.0, 0.5)
    model, _ = echo_model(8, channel, mean=mean, scale=scale)
    image = np.random.default_rng(1).integers(31, 256, (8, 8, 3), np.uint8)
    expected = (image[..., channel] - mean[channel]) * scale[channel]
    np.testing.assert_allclose(echo(model, image, 8), expected, rtol=1e-5)


def linear_resize(plane: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Resize a plane to size x size as the ONNX standard defines it for a coordinate transformation mode."""

    def weights(length: int) -> np.ndarray:
        out = np.arange(size)
        source = {
            "half_pixel": (out + 0.5) * length / size - 0.5,
            "align_corners": out * (length - 1) / (size - 1),
            "asymmetric": out * length / size,
        }[mode].clip(0, length - 1)
        return np.maximum(1 - np.abs(source[:, None] - np.arange(length)), 0)

    return weights(plane.shape[0]) @ plane @ weights(plane.shape[1]).T


@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (5, 37), (37, 5), (1, 1), (100, 3)])
@pytest.mark.parametrize("mode", ["half_pixel", "align_corners", "asymmetric"])
def test_images_of_any_size_are_resized_as_the_card_says(mode, shape):
    model, _ = echo_model(8, resize=mode)
    image = np.random.default_rng(1).integers(1, 256, (*shape, 3), np.uint8)
    expected = linear_resize(image[..., 0].astype(np.float64), 8, mode)
    np.testing.assert_allclose(echo(model, image, 8), expected, atol=0.02)


@pytest.mark.parametrize("shape", [(8, 8), (479, 641), (2000, 33)])
def test_half_pixel_is_opencv_s_linear_resize(shape):
    model, _ = echo_model(8)
    image = np.random.default_rng(1).integers(1, 256, (*shape, 3), np.uint8)
    expected = cv2.resize(image.astype(np.float32), (8, 8), interpolation=cv2.INTER_LINEAR)[..., 0]
    np.testing.assert_allclose(echo(model, image, 8), expected, atol=0.05)


# Four pixels that go through a Softmax without an axis. Up to opset 12 that is one over all of them, from 13 on
# one over each pixel alone, which is always 1.
SOFTMAX_NETWORK = """<ir_version: 7, opset_import: ["": 17]>
    net (float[N, 2, 2, 3] image) => (float[N, 4, 4] boxes, float[N, 4, 1] scores)
    <int64 channel = {0}, int64[3] flat = {0, 4, 1}> {
        plane = Gather<axis = 3>(image, channel)
        pixels = Reshape(plane, flat)
        scores = Softmax(pixels)
        zero = Sub(scores, scores)
        boxes = Concat<axis = 2>(zero, zero, zero, zero)
    }"""


def softmax_network(old: str, new: str) -> onnx.ModelProto:
    """Build SOFTMAX_NETWORK with one thing replaced."""
    assert SOFTMAX_NETWORK.count(old) == 1
    return onnx.parser.parse_model(SOFTMAX_NETWORK.replace(old, new))


@pytest.mark.parametrize(("opset", "score"), [(11, 0.25), (12, 0.25), (13, 1), (17, 1)])
def test_a_network_of_an_older_opset_means_what_it_meant(opset, score):
    _, card = echo_model(2)
    model = compose(softmax_network('"": 17', f'"": {opset}'), card)
    assert model.opset_import[0].version == 17
    np.testing.assert_allclose(echo(model, np.full((2, 2, 3), 9, np.uint8), 2), score * 1000, rtol=1e-5)


def test_a_network_in_half_precision_is_fed_and_read_in_its_own_type():
    _, card = echo_model(2)
    half = onnx.parser.parse_model(SOFTMAX_NETWORK.replace("float[", "float16["))
    np.testing.assert_allclose(echo(compose(half, card), np.full((2, 2, 3), 9, np.uint8), 2), 1000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Softmax(pixels)", "Softmax(nowhere)"),
        ("Softmax(pixels)", "Softmax(boxes)"),
        ("Softmax(pixels)", "com.microsoft.Gelu(pixels)"),
    ],
)
def test_a_network_that_does_not_fit_into_the_graph_is_a_card_error(old, new):
    _, card = echo_model(2)
    with pytest.raises(ModelCardError, match="onnx"):
        compose(softmax_network(old, new), card)


def test_a_network_with_a_second_input_is_a_card_error():
    """There is nothing to feed it from."""
    _, card = echo_model(2)
    network = softmax_network("Softmax(pixels)", "Mul(pixels, gain)")
    network.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1]))
    with pytest.raises(ModelCardError, match="onnx"):
        compose(network, card)
