"""import_model on what stands in front of a network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from import_runs import LAST, assert_finds, corners_of, picture, raw_heads, sigmoid, softmax
from onnx import TensorProto, helper, numpy_helper
from ssd_networks import (
    PRIORS,
    TF_300,
    TINY,
    Net,
    decoded,
    decoded_network,
    heads,
    nchw,
    raw_network,
)

from trt_ssd_ros.models.network import batch_size, load_network
from trt_ssd_ros.models.priors import SsdAnchorGenerator


@pytest.mark.parametrize(("stated", "taken"), [("N", "N"), (1, "N"), (2, "N")])
def test_a_batch_that_is_only_stated_becomes_dynamic(run_import, stated, taken):
    card = run_import(raw_network(TF_300, batch=stated), *LAST).card
    assert batch_size(load_network(card), card) == taken


def test_shapes_that_are_not_stated_are_measured(run_import):
    network = raw_network(TF_300)
    for tensor, axes in ((network.graph.input[0], (1, 2)), *((item, (1,)) for item in network.graph.output)):
        for axis in axes:
            tensor.type.tensor_type.shape.dim[axis].dim_param = "any"
    imported = run_import(network, "--size", "300x300", *LAST)
    assert "shapes are declared" in imported.said
    assert len(imported.card.prior_boxes()) == 1917


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_networks_of_any_opset(run_import, opset):
    imported = run_import(raw_network(TF_300, opset=opset), *LAST)
    image = picture(300, 300)
    encoded, logits = raw_heads(TF_300, image / 127.5 - 1)
    corners = corners_of(encoded, imported.card.prior_boxes().astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], image)


def test_preprocessing_in_the_graph_is_cut_off_and_measured(run_import, labels):
    """uint8 of any size in, resized and normalised inside, as in exports of the TF Object Detection API."""
    net = Net()
    image = net.input("input_tensor:0", ["N", "H", "W", 3], TensorProto.UINT8)
    pixels = net("Transpose", net("Cast", image, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    empty, size = "", net.constant([1, 3, 64, 64], np.int64)
    resized = net("Resize", pixels, empty, empty, size, mode="linear")
    mean = net.constant(np.reshape([10.0, 20, 30], (1, 3, 1, 1)))
    heads(net, net("Mul", net("Sub", resized, mean), net.constant(0.01)), TINY)
    net("Sigmoid", "scores", name="class_scores")
    decoded(net, "boxes", PRIORS, name="corners", order="yxyx")
    net.output("corners", ["N", TINY.count, 4])
    net.output("class_scores", ["N", TINY.count, 4])
    imported = run_import(
        net.model(), *labels("a", "b", "c"), "--family", "tf_object_detection_api", "--size", "100x120"
    )
    card = imported.card
    assert (card.input.height, card.input.width, card.input.layout) == (64, 64, "NCHW")
    np.testing.assert_allclose(card.input.mean, [10, 20, 30], rtol=1e-4)
    np.testing.assert_allclose(card.input.scale, [0.01] * 3, rtol=1e-4)
    photo = picture(64, 64)
    encoded, logits = raw_heads(TINY, (photo - np.array([10.0, 20, 30])) * 0.01)
    assert_finds(imported, corners_of(encoded, PRIORS, "xywh"), sigmoid(logits)[:, 1:], photo)


@pytest.mark.parametrize("is_half", [True, False])
def test_coarse_numbers_in_front_of_a_network_are_measured_well(run_import, labels, is_half):
    """Half precision, or a quantised image, in which a level of 1 is next to nothing."""
    net = Net()
    kind = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
    pixels = net("Cast", net.input("image", ["N", 3, 64, 64], TensorProto.UINT8), to=kind)
    if not is_half:
        step, zero = net.constant(2.2), net.constant(0, np.uint8)
        pixels = net("DequantizeLinear", net("QuantizeLinear", pixels, step, zero), step, zero)
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pixels = net("Mul", pixels, net.constant(1 / 255))
    pixels = net("Sub", pixels, net.constant(np.reshape(mean, (1, 3, 1, 1))))
    pixels = net("Div", pixels, net.constant(np.reshape(deviation, (1, 3, 1, 1))))
    network = decoded_network(net, pixels)
    if is_half:
        for constant in network.graph.initializer:
            if constant.data_type == TensorProto.FLOAT:
                half = numpy_helper.to_array(constant).astype(np.float16)
                constant.CopyFrom(numpy_helper.from_array(half, constant.name))
        for item in network.graph.output:
            item.type.tensor_type.elem_type = TensorProto.FLOAT16
    card = run_import(network, *labels("a", "b", "c"), "--family", "other").card
    np.testing.assert_allclose(card.input.mean, np.array(mean) * 255, rtol=5e-3)
    np.testing.assert_allclose(card.input.scale, 1 / np.array(deviation) / 255, rtol=5e-3)


def test_a_network_that_cuts_pixels_off_beyond_1_takes_0_to_1(run_import, labels):
    net = Net()
    image = net("Clip", nchw(net, TINY), net.constant(0.0), net.constant(1.0))
    image = net("Div", net("Sub", image, net.constant(0.5)), net.constant(0.5))
    card = run_import(decoded_network(net, image), *labels("a", "b", "c"), "--family", "other").card
    np.testing.assert_allclose(card.input.mean, [127.5] * 3, rtol=1e-4)
    np.testing.assert_allclose(card.input.scale, [1 / 127.5] * 3, rtol=1e-4)


def resizing_loop(net: Net, image: str) -> str:
    """Resize each image of a batch to 300 x 300 in a Loop, as tf.map_fn becomes one; return NHWC."""
    body = onnx.parser.parse_graph(
        """resize (int64 index, bool go) => (bool onward, float[300, 300, 3] resized)
        <int64[3] size = {300, 300, 3}> {
            onward = Identity(go)
            image = Gather<axis = 0>(input_tensor, index)
            picture = Cast<to = 1>(image)
            resized = Resize<mode = "linear">(picture, , , size)
        }"""
    )
    first = (net.constant([n], np.int64) for n in (0, 1))
    count = net("Squeeze", net("Slice", net("Shape", image, name="image_shape"), *first))
    net.multiple(["Preprocessor/map"], "Loop", count, net.constant(True, np.bool_), body=body)
    return "Preprocessor/map"


@pytest.mark.parametrize("flags", [(), ("--boxes", "Squeeze:0", "--scores", "s")])
def test_a_whole_tensorflow_model(run_import, flags):
    """Resized in a Loop, reshaped by the batch of its own input, NMS at the end: raw heads are found inside."""
    net = Net(13)
    image = net.input("input_tensor", ["N", "H", "W", 3], TensorProto.UINT8)
    scaled = net("Mul", resizing_loop(net, image), net.constant(1 / 127.5))
    centred = net("Sub", scaled, net.constant(1.0))
    boxes, scores = heads(net, net("Transpose", centred, perm=[0, 3, 1, 2]), TF_300, names=("b", "s"))
    batch = net("Slice", "image_shape", *(net.constant([n], np.int64) for n in (0, 1)))
    whole = net("Concat", batch, net.constant([1917, 4], np.int64), axis=0)
    boxes = net("Reshape", boxes, whole, name="Squeeze:0")
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    priors = SsdAnchorGenerator(TF_300.maps).priors(300, 300)
    corners = decoded(net, swapped, priors, name="corners", order="yxyx")
    classes = net("Transpose", net("Sigmoid", scores), perm=[0, 2, 1])
    limits = [net.constant([0.5]), net.constant([0.1])]
    chosen = net("NonMaxSuppression", corners, classes, net.constant([50], np.int64), *limits)
    box = net("Gather", chosen, net.constant([2], np.int64), axis=1)
    net("Gather", corners, box, name="detection_boxes:0", axis=1)
    net.output("detection_boxes:0", ["a", "b", "c", 4])
    imported = run_import(net.model(), *flags)
    card = imported.card
    assert (card.family, card.outputs.kind, card.input.height) == ("tf_object_detection_api", "raw_heads", 300)
    np.testing.assert_allclose(card.input.mean, [127.5] * 3, rtol=1e-4)
    assert not {"Loop", "NonMaxSuppression"} & {node.op_type for node in load_network(card).graph.node}
    photo = picture(300, 300)
    encoded, logits = raw_heads(TF_300, photo / 127.5 - 1)
    corners = corners_of(encoded, card.prior_boxes().astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], photo)


def test_normalisation_in_the_graph_stays_there(run_import):
    net = Net()
    image = net.input("image", [1, 300, 300, 3])
    scaled = net("Sub", net("Mul", image, net.constant(1 / 127.5)), net.constant(1.0))
    heads(net, net("Transpose", scaled, perm=[0, 3, 1, 2]), TF_300)
    net.output("boxes", [1, 1917, 4])
    net.output("scores", [1, 1917, 91])
    imported = run_import(net.model(), *LAST)
    assert (imported.card.input.mean, imported.card.input.scale) == ((0,) * 3, (1,) * 3)
    assert "normalises its input itself" in imported.said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("float[1, 1, 32, 32] x", "input x: FLOAT [1, 1, 32, 32], expected 3 channels"),
        ("float[5] x", "input x: FLOAT [5], expected an image"),
        ("int64[1, 3, 8, 8] x", "input x: INT64 [1, 3, 8, 8], expected an image"),
    ],
)
def test_inputs_that_are_no_images_are_named(refused, text, expected):
    net = f"""<ir_version: 8, opset_import: ["": 17]> net ({text}) => (float[N] y) {{ y = Cast<to = 1>(x) }}"""
    assert expected in refused(onnx.parser.parse_model(net))


def test_a_size_that_nothing_tells_is_asked_for(refused):
    network = raw_network(TF_300)
    for axis in (1, 2):
        network.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "any"
    assert "input image: FLOAT [?, ?, ?, 3] has no fixed size: give --size" in refused(network)


def test_a_size_other_than_the_file_s_is_refused(refused):
    error = refused(raw_network(TF_300), "--size", "320x300")
    assert "input image: FLOAT [?, 300, 300, 3], found --size 320x300" in error


@pytest.mark.parametrize(("side", "order"), [(64, "rgb"), ("side", "bgr")])
def test_channels_that_the_network_swaps_itself(run_import, labels, side, order):
    """Keras' SSDs (ssd_keras) turn rgb to bgr inside; a swap that is cut off is the card's to do."""
    net = Net()
    image = net("Transpose", net.input("input_1", ["N", side, side, 3]), perm=[0, 3, 1, 2])
    if side != 64:
        image = net("Resize", image, "", "", net.constant([1, 3, 64, 64], np.int64), mode="linear")
    image = net("Sub", image, net.constant(np.reshape([123.0, 117, 104], (1, 3, 1, 1))))
    swapped = net("Gather", image, net.constant([2, 1, 0], np.int64), axis=1)
    model = decoded_network(net, net("Mul", swapped, net.constant(1 / 127.5)))
    imported = run_import(model, *labels("a", "b", "c"), "--family", "tao_ssd", "--channel-order", "rgb")
    assert imported.card.input.channel_order == order
    image = picture(64, 64)
    encoded, logits = raw_heads(TINY, (image[..., ::-1] - np.array([104.0, 117, 123])) / 127.5)
    assert_finds(imported, corners_of(encoded, PRIORS, "xywh"), softmax(logits)[:, 1:], image)


def test_the_order_before_a_swap_is_asked_for(refused, labels):
    net = Net()
    image = net("Gather", nchw(net, TINY), net.constant([2, 1, 0], np.int64), axis=1)
    error = refused(decoded_network(net, image), "--family", "other", *labels("a", "b", "c"))
    assert "give --channel-order rgb or bgr" in error


def test_a_family_s_mean_follows_the_order_of_channels(run_import, labels):
    net = Net()
    model = decoded_network(net, nchw(net, TINY))
    flags = ("--family", "caffe_ssd_voc", "--channel-order", "rgb")
    assert run_import(model, *labels("a", "b", "c"), *flags).card.input.mean == (123, 117, 104)


def test_bytes_that_are_not_normalised_are_0_to_255(refused, run_import, labels):
    """The convolution's weights do it: nothing is left for the family's mean.

    These weights do not, so that boxes lie anywhere, and their cells do not tell the order of their corners.
    """
    net = Net()
    image = net("Cast", net.input("image", ["N", 3, 64, 64], TensorProto.UINT8), to=TensorProto.FLOAT)
    model, flags = decoded_network(net, image), (*labels("a", "b", "c"), "--family", "pytorch_ssd")
    assert "the order of a box's corners: give --box-order xyxy or yxyx" in refused(model, *flags)
    card = run_import(model, *flags, "--box-order", "xyxy").card
    assert card.outputs.box_order == "xyxy"
    assert (card.input.mean, card.input.scale) == ((0,) * 3, (1,) * 3)


@pytest.mark.parametrize("transposed", [False, True])
def test_rounding_of_a_quantised_network_is_no_normalisation(run_import, labels, transposed):
    net = Net()
    image = net.input("image", ["N", 64, 64, 3] if transposed else ["N", 3, 64, 64])
    step, zero = net.constant(1 / 128), net.constant(128, np.uint8)
    rounded = net("DequantizeLinear", net("QuantizeLinear", image, step, zero), step, zero)
    if transposed:
        rounded = net("Transpose", rounded, perm=[0, 3, 1, 2])
    card = run_import(decoded_network(net, rounded), *labels("a", "b", "c"), "--family", "pytorch_ssd").card
    assert (card.input.mean, card.input.tensor) == ((127.5,) * 3, "image")


def test_a_mean_below_1_is_that_of_pixels_of_0_to_1(run_import, labels):
    net = Net()
    image = net("Sub", nchw(net, TINY), net.constant(np.reshape([0.485, 0.456, 0.406], (1, 3, 1, 1))))
    card = run_import(decoded_network(net, image), *labels("a", "b", "c"), "--family", "other").card
    assert card.input.scale == (1 / 255,) * 3


@pytest.mark.parametrize(("mode", "opset"), [("asymmetric", 13), ("align_corners", 13), ("asymmetric", 10)])
def test_a_resize_that_is_cut_off_goes_to_the_card(run_import, labels, mode, opset):
    """TensorFlow 1 resizes without half pixels."""
    net = Net(opset)
    image = net.input("image_tensor:0", ["N", 3, 128, 128], TensorProto.UINT8)
    pixels = net("Cast", image, to=TensorProto.FLOAT)
    half = net.constant([1.0, 1, 0.5, 0.5])
    if opset > 10:
        resized = net("Resize", pixels, "", half, mode="linear", coordinate_transformation_mode=mode)
    else:
        resized = net("Resize", pixels, half, mode="linear")
    flags = ("--family", "other", "--box-order", "xyxy")
    model = decoded_network(net, resized)
    imported = run_import(model, *labels("a", "b", "c"), *flags)
    assert (imported.card.input.resize, imported.card.input.height) == (mode, 64)
    assert "resize is" not in imported.said
    forced = ("--resize", "half_pixel", "--force")
    imported = run_import(model, *labels("a", "b", "c"), *flags, *forced)
    assert imported.card.input.resize == "half_pixel"


@pytest.mark.parametrize("mode", ["half_pixel", "align_corners", "asymmetric", ""])
def test_a_resize_that_the_graph_does_not_show_is_the_user_s_or_assumed(run_import, labels, mode):
    net = Net()
    flags = ("--family", "other", *(("--resize", mode) if mode else ()))
    imported = run_import(decoded_network(net, nchw(net, TINY)), *labels("a", "b", "c"), *flags)
    assert imported.card.input.resize == (mode or "half_pixel")
    assert ("assumed   resize is half_pixel, as in OpenCV" in imported.said) == (mode == "")
    assert ("resize:" in (imported.folder / "net.yaml").read_text()) == (mode in ("align_corners", "asymmetric"))


@pytest.mark.parametrize("shape", [["N", "H", "W", "C"], ["N", "C", 300, 300]])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_channels_that_are_not_stated(run_import, layout, shape):
    """As torch exports them with all axes dynamic."""
    if (layout, shape[2]) == ("NHWC", 300):
        shape = ["N", 300, 300, 3]
    network = raw_network(TF_300, layout=layout)
    network.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
    assert run_import(network, "--size", "300x300", *LAST).card.input.layout == layout


@pytest.mark.parametrize("rows", [32, 52, 57])
@pytest.mark.parametrize("step", [1, 2])
def test_bars_beside_an_image_are_refused(refused, labels, rows, step):
    """Whether it is resized in front of them or not."""
    net = Net()
    image = net.input("image", ["N", 3, rows * step, 64 * step])
    if step == 2:
        image = net("Resize", image, "", net.constant([1.0, 1, 0.5, 0.5]), mode="linear")
    padded = net("Pad", image, net.constant([0, 0, 0, 0, 0, 0, 64 - rows, 0], np.int64))
    model = decoded_network(net, padded)
    assert "letterbox" in refused(model, *labels("a", "b", "c"), "--family", "other")


def test_a_border_for_the_first_convolution_s_window_is_none(run_import, labels):
    """As TensorFlow's networks have it."""
    net = Net()
    padded = net("Pad", net.input("image", ["N", 3, 58, 60]), net.constant([0, 0, 3, 2, 0, 0, 3, 2], np.int64))
    card = run_import(decoded_network(net, padded), *labels("a", "b", "c"), "--family", "other").card
    assert (card.input.tensor, card.input.height, card.input.width) == ("image", 58, 60)


def test_a_part_that_is_cut_out_of_the_image_is_refused(refused, labels):
    net = Net()
    image = net.input("image", ["N", 3, 80, 80])
    part = net("Slice", image, *(net.constant(ends, np.int64) for ends in ([8, 8], [72, 72], [2, 3])))
    error = refused(decoded_network(net, part), *labels("a", "b", "c"), "--family", "other")
    assert "reads 64x64 of the 80x80 pixels of its input" in error


def test_a_batch_normalisation_of_the_input_is_no_mean(refused, run_import, labels):
    """It was trained behind a normalisation that the graph does not show, as in Caffe's res10 face detector."""
    net = Net()
    numbers = [
        net.constant(values) for values in ([1.7, 1.8, 1.9], [0.1, 0.2, 0.3], [0.5, 0.4, 0.3], [1.1, 1.2, 1.3])
    ]
    model = decoded_network(net, net("BatchNormalization", nchw(net, TINY), *numbers))
    assert "give --family" in refused(model, *labels("a", "b", "c"))
    imported = run_import(model, *labels("a", "b", "c"), "--family", "pytorch_ssd", "--force")
    assert imported.card.input.mean == (127.5, 127.5, 127.5)


@pytest.mark.parametrize(
    ("height", "expected"),
    [(64, "letterboxes its images"), ("height", "depending on the image's shape, expected one shape")],
)
def test_images_of_any_shape_are_to_be_stretched(refused, labels, height, expected):
    """Both are right for the square image that is tried first."""
    net = Net()
    image = net.input("image", ["N", 3, "height", "width"])
    if height == 64:  # the longer side becomes 64, the rest bars
        sides = net("Slice", net("Shape", image), *(net.constant([n], np.int64) for n in (2, 4)))
        floats = net("Cast", sides, to=TensorProto.FLOAT)
        scale = net("Div", net.constant(64.0), net("ReduceMax", floats, axes=[0]))
        scales = net("Concat", net.constant([1.0, 1]), scale, scale, axis=0)
        small = net("Resize", image, "", scales, mode="linear")
        missing = net("Sub", net.constant([1, 3, 64, 64], np.int64), net("Shape", small))
        image = net("Pad", small, net("Concat", net.constant([0] * 4, np.int64), missing, axis=0))
    else:
        image = net("Resize", image, "", net.constant([1, 1, 64 / 300, 64 / 300]), mode="linear")
    assert expected in refused(decoded_network(net, image), *labels("a", "b", "c"), "--family", "other")


@pytest.mark.parametrize(
    ("mean", "order"), [((0.485, 0.456, 0.406), "rgb"), ((0.406, 0.456, 0.485), "bgr"), ((0.5, 0.5, 0.5), "rgb")]
)
def test_the_mean_tells_the_order_of_channels(run_import, labels, mean, order):
    net = Net()
    image = net("Sub", nchw(net, TINY), net.constant(np.reshape(mean, (1, 3, 1, 1))))
    imported = run_import(decoded_network(net, image), *labels("a", "b", "c"))
    assert (imported.card.family, imported.card.input.channel_order) == ("other", order)
    assert ("channels are rgb, which is a guess" in imported.said) == (mean[0] == 0.5)


def test_a_batch_that_is_fixed_is_named(refused):
    net = Net()
    boxes, scores = heads(net, net.input("image", [4, 3, 300, 300]), TF_300, names=("b", "s"))
    net.output(net.reshaped(boxes, 4, 1917, 4), [4, 1917, 4])
    net.output(net.reshaped(scores, 4, 1917, 91), [4, 1917, 91])
    assert "only on batches of 4 images, expected one image: export it with a batch of 1" in refused(net.model())


def test_files_that_are_newer_than_onnx_runtime_are_read(run_import):
    network = raw_network(TF_300, opset=22)
    network.ir_version = 99
    assert len(run_import(network, *LAST).card.prior_boxes()) == 1917


def test_what_of_the_normalisation_is_the_family_s_is_said(run_import):
    imported = run_import(raw_network(TF_300), "--mean", "100", *LAST)
    assert "assumed   scale, channel order rgb: those of its family" in imported.said


def test_domains_that_no_node_is_of_say_nothing(run_import):
    """ONNX Runtime states its own in whatever it optimised, if only in ONNX's operators."""
    network = raw_network(TF_300)
    network.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert len(run_import(network, *LAST).card.prior_boxes()) == 1917


def test_other_inputs_are_left_out(run_import):
    """PaddleDetection scales its results by the image's size, which it is fed with."""
    net = Net()
    size = net.input("scale_factor", [1, 2])
    boxes, scores = heads(net, nchw(net, TF_300), TF_300, names=("b", "s"))
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    priors = SsdAnchorGenerator(TF_300.maps).priors(300, 300)
    corners = decoded(net, swapped, priors, name="corners")
    net("Mul", corners, net("Concat", size, size, axis=1), name="pixels")
    net("Sigmoid", scores, name="found")
    net.output("pixels", ["N", 1917, 4])
    net.output("found", ["N", 1917, 91])
    card = run_import(net.model(), "--family", "tf_object_detection_api").card
    assert (card.outputs.kind, card.outputs.boxes, card.input.tensor) == ("raw_heads", "b", "image")
