"""import_model on networks that end in non-maximum suppression, held against a decoding in float64."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from import_runs import LAST, assert_finds, assert_finds_boxes_of, corners_of, picture, raw_heads, sigmoid, softmax
from onnx import TensorProto, helper, numpy_helper
from ssd_networks import (
    CORNERS,
    PRIORS,
    TF_300,
    TINY,
    VARIANCES,
    Net,
    decoded,
    heads,
    nchw,
)

from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime, open_session
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.tools.import_model.nms import PLUGINS


def nms_trt(net: Net, boxes: str, logits: str) -> None:
    """As tao_tensorflow1_backend's onnx_exporter.py ends SSDs: anchors, locations, confidences."""
    net("Softmax", logits, name="mbox_conf_softmax", axis=2)
    anchors = net.constant(np.stack([CORNERS, VARIANCES]).reshape(1, 2, -1, 1), name="anchor_data")
    loc = net.reshaped(boxes, 0, -1, 1, 1, name="loc_data")
    conf = net.reshaped("mbox_conf_softmax", 0, -1, 1, 1, name="conf_data")
    net.multiple(
        ["NMS", "NMS_1"], "NMSDynamic_TRT", anchors, loc, conf, inputOrder=[1, 2, 0], numClasses=4, codeType=1,
        backgroundLabelId=0, shareLocation=1, varianceEncodedInTarget=0, confSigmoid=0, nmsThreshold=0.5,
    )  # fmt: skip
    net.output("NMS", ["N", 1, 200, 7])


def nms_trt_of_tensorflow(net: Net, boxes: str, logits: str) -> None:
    """As the UFF era's TensorFlow networks: y x h w encodings (codeType 3), logits, any names."""
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    anchors = net.constant(np.stack([CORNERS, VARIANCES]).reshape(1, 2, -1, 1))
    loc, conf = (net.reshaped(tensor, 0, -1, 1, 1) for tensor in (swapped, net("Softmax", logits, axis=2)))
    net.multiple(
        ["NMS", "NMS_1"], "NMS_TRT", loc, conf, anchors, inputOrder=[0, 1, 2], numClasses=4, codeType=3,
        backgroundLabelId=0, nmsThreshold=0.5, varianceEncodedInTarget=1,
    )  # fmt: skip
    net.output("NMS", ["N", 1, 200, 7])


def caffe(net: Net, boxes: str, logits: str) -> None:
    """DetectionOutput with variances that are in the encodings already."""
    scaled = net("Mul", boxes, net.constant([0.1, 0.1, 0.2, 0.2]))
    anchors = net.constant(np.stack([CORNERS, VARIANCES * 0]).reshape(1, 2, -1))
    loc, conf = net.reshaped(scaled, 0, -1), net.reshaped(net("Softmax", logits, axis=2), 0, -1)
    net.multiple(
        ["detection_out"], "DetectionOutput", loc, conf, anchors, num_classes=4, codeType=2, nmsThreshold=0.5,
        varianceEncodedInTarget=1, numClasses=4,
    )  # fmt: skip
    net.output("detection_out", ["N", 1, 200, 7])


def nms_trt_in_pixels(net: Net, boxes: str, logits: str) -> None:
    """With priors, and so boxes, in pixels."""
    anchors = net.constant(np.stack([CORNERS * TINY.side, VARIANCES]).reshape(1, 2, -1, 1))
    loc, conf = (net.reshaped(tensor, 0, -1, 1, 1) for tensor in (boxes, net("Softmax", logits, axis=2)))
    net.multiple(["NMS", "NMS_1"], "NMS_TRT", loc, conf, anchors, numClasses=4, nmsThreshold=0.5, isNormalized=0)
    net.output("NMS", ["N", 1, 200, 7])


def tflite(net: Net, boxes: str, logits: str) -> None:
    """TFLite_Detection_PostProcess: anchors y x h w."""
    anchors = net.constant(PRIORS[:, [1, 0, 3, 2]], name="anchors")
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    scores = net("Softmax", logits, axis=2)
    net.multiple(
        ["detections", "classes", "scores_", "count"], "TFLite_Detection_PostProcess", swapped, scores, anchors,
        y_scale=10.0, x_scale=10.0, h_scale=5.0, w_scale=5.0, nms_iou_threshold=0.5,
    )  # fmt: skip
    net.output("detections", [1, 10, 4])


def efficient_nms(net: Net, boxes: str, logits: str) -> None:
    """EfficientNMS_TRT with anchors, in front of which encodings are scaled already."""
    anchors = net.constant(PRIORS[None][..., [1, 0, 3, 2]], name="anchors")
    scaled = net("Mul", boxes, net.constant([0.1, 0.1, 0.2, 0.2]))
    swapped = net("Gather", scaled, net.constant([1, 0, 3, 2], np.int64), axis=2)
    scores = net("Softmax", logits, axis=2)
    net.multiple(
        ["num", "nms_boxes", "nms_scores", "nms_classes"], "EfficientNMS_TRT", swapped, scores, anchors,
        box_coding=1, background_class=0, iou_threshold=0.5, score_activation=0,
    )  # fmt: skip
    net.output("nms_boxes", ["N", 100, 4])


def batched_nms(net: Net, boxes: str, logits: str) -> None:
    """BatchedNMS_TRT: decoded corners with an axis for classes that all share."""
    corners = decoded(net, boxes, PRIORS, name="corners")
    scores = net("Softmax", logits, axis=2)
    net.multiple(
        ["num", "nms_boxes", "nms_scores", "nms_classes"], "BatchedNMS_TRT",
        net.reshaped(corners, 0, -1, 1, 4), scores, shareLocation=1, backgroundLabelId=0, iouThreshold=0.5,
    )  # fmt: skip
    net.output("nms_boxes", ["N", 100, 4])


def plain_nms(net: Net, boxes: str, logits: str) -> None:
    """ONNX's own NonMaxSuppression, as in exports of whole torchvision and TensorFlow models."""
    corners = decoded(net, boxes, PRIORS, name="corners", order="yxyx")
    scores = net("Transpose", net("Softmax", logits, name="probabilities", axis=2), perm=[0, 2, 1])
    limits = [net.constant([0.5]), net.constant([0.1])]
    chosen = net("NonMaxSuppression", corners, scores, net.constant([50], np.int64), *limits, name="selected")
    net("Gather", corners, net("Gather", chosen, net.constant([2], np.int64), axis=1), name="final", axis=1)
    net.output("final", ["a", "b", "c", 4])
    net.output("selected", ["K", 3], TensorProto.INT64)
    net.output("corners", ["N", TINY.count, 4])
    net.output("probabilities", ["N", TINY.count, 4])


@pytest.mark.parametrize(
    "suppress",
    [
        nms_trt,
        nms_trt_of_tensorflow,
        nms_trt_in_pixels,
        caffe,
        tflite,
        efficient_nms,
        batched_nms,
        plain_nms,
    ],
)
def test_networks_are_cut_in_front_of_their_own_nms(run_import, labels, suppress):
    net = Net()
    suppress(net, *heads(net, nchw(net, TINY), TINY))
    imported = run_import(
        net.model(), *labels("a", "b", "c"), "--family", "tf_object_detection_api", "--score-threshold", "0.4"
    )
    card, network = imported.card, load_network(imported.card)
    assert card.outputs.kind == "decoded_boxes"
    assert card.outputs.score_conversion == "none"
    assert (card.onnx.path.name, "cut off" in imported.said) == ("net.ssd.onnx", True)
    assert not {"NonMaxSuppression", *PLUGINS} & {node.op_type for node in network.graph.node}
    assert_finds_boxes_of(TINY, imported, softmax)


def test_tao_s_traffic_network(run_import, labels):
    """384 x 1248, NCHW, BGR minus ImageNet's mean, four classes and the background."""
    net = Net()
    image = net.input("Input", ["N", 3, 384, 1248])
    net.channels[image] = 3
    feature = net("Relu", net.convolved(image, 4, size=16, stride=16, gain=0.01))
    net.channels[feature] = 4
    loc = net.reshaped(net("Transpose", net.convolved(feature, 16), perm=[0, 2, 3, 1]), 0, -1, 4, name="mbox_loc")
    conf = net.reshaped(
        net("Transpose", net.convolved(feature, 20), perm=[0, 2, 3, 1]), 0, -1, 5, name="mbox_conf"
    )
    net("Softmax", conf, name="mbox_conf_softmax", axis=2)
    y, x = np.mgrid[:24, :78].reshape(2, -1, 1) + 0.5
    half = np.array([[0.5, 1, 1.5, 2]])
    corners = np.stack([(x - half) / 78, (y - half) / 24, (x + half) / 78, (y + half) / 24], 2).reshape(-1, 4)
    anchors = np.concatenate([corners, np.tile([0.1, 0.1, 0.2, 0.2], (len(corners), 1))], 1)
    batch = net("Slice", net("Shape", loc), *(net.constant([n], np.int64) for n in (0, 1)))
    times = net("Concat", batch, net.constant([1, 1], np.int64), axis=0)
    tiled = net("Tile", net.constant(anchors[None]), times, name="mbox_priorbox")
    parted = net("Transpose", net.reshaped(tiled, 0, -1, 2, 4), perm=[0, 2, 1, 3], name="anchor_permute")
    net.reshaped(parted, 0, 2, -1, 1, name="anchor_data")
    net.reshaped(loc, 0, -1, 1, 1, name="loc_data")
    net.reshaped("mbox_conf_softmax", 0, -1, 1, 1, name="conf_data")
    net.multiple(
        ["NMS", "NMS_1"], "NMSDynamic_TRT", "anchor_data", "loc_data", "conf_data", inputOrder=[1, 2, 0],
        backgroundLabelId=0, numClasses=5, nmsThreshold=0.4, codeType=1, shareLocation=1,
    )  # fmt: skip
    net.output("NMS", ["N", 1, 200, 7])
    net.output("NMS_1", ["N", 1, 1, 1])
    imported = run_import(net.model(), *labels("background", "bicycle", "pedestrian", "road_sign", "vehicle"))
    card = imported.card
    assert (card.family, card.input.channel_order, card.input.width) == ("tao_ssd", "bgr", 1248)
    assert (card.input.mean, card.defaults.iou_threshold, len(card.labels)) == ((103.939, 116.779, 123.68), 0.4, 4)
    rgb = picture(384, 1248)
    session = open_session(
        onnx.utils.Extractor(_without_nms(net)).extract_model(["Input"], ["mbox_loc", "mbox_conf_softmax"])
    )
    pixels = (rgb[..., ::-1] - np.array(card.input.mean)).transpose(2, 0, 1)[None].astype(np.float32)
    encoded, scores = (array[0].astype(np.float64) for array in session.run(None, {"Input": pixels}))
    priors = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    assert_finds(imported, corners_of(encoded, priors, "xywh"), scores[:, 1:], rgb)


def _without_nms(net: Net) -> onnx.ModelProto:
    del net.nodes[-1], net.outputs[:]
    net.output("mbox_loc", ["N", 7488, 4])
    net.output("mbox_conf_softmax", ["N", 7488, 5])
    return net.model()


def test_a_network_that_ends_in_rows_of_seven_numbers(run_import, labels):
    net = Net()
    image = nchw(net, TINY, "Input")
    net.channels[image] = 3
    rows = net.reshaped(net.convolved(image, 7, size=8, stride=8), 0, 7, 64)
    column = net("Sigmoid", net("Transpose", rows, perm=[0, 2, 1]))
    scale, offset = net.constant([0.0, 3.999, 1, 0.4, 0.4, 0.4, 0.4]), net.constant([0.0, 0, 0, 0, 0, 0.5, 0.5])
    numbers = net("Add", net("Mul", column, scale), offset)
    label = net("Floor", net("Slice", numbers, *(net.constant([n], np.int64) for n in (1, 2, 2))))
    first, last = (
        net("Slice", numbers, *(net.constant([n], np.int64) for n in bounds)) for bounds in ((0, 1, 2), (2, 7, 2))
    )
    net.reshaped(net("Concat", first, label, last, axis=2), 0, 1, 64, 7, name="NMS")
    net.output("NMS", ["N", 1, 64, 7])
    imported = run_import(net.model(), *labels("a", "b", "c"), "--family", "tao_ssd")
    assert (imported.card.outputs.kind, imported.card.outputs.rows) == ("detections", "NMS")
    picture_ = picture(64, 64)
    pixels = (picture_[..., ::-1] - np.array(imported.card.input.mean)).transpose(2, 0, 1)[None].astype(np.float32)
    (table,) = open_session(net.model()).run(None, {"Input": pixels})
    expected = sorted((row for row in table[0, 0] if row[1] >= 1 and row[2] >= 0.5), key=lambda row: -row[2])
    found = imported.detector(0.5).detect(picture_, "rgb")
    assert len(expected) > 5
    np.testing.assert_array_equal(found.class_ids, [row[1] - 1 for row in expected])
    np.testing.assert_allclose(found.scores, [row[2] for row in expected], atol=1e-5)
    np.testing.assert_allclose(found.boxes / 64, [row[3:] for row in expected], atol=1e-4)


def test_a_network_of_no_known_family_is_cut_at_what_its_nms_reads(run_import, labels):
    """As the SSD of ONNX's model zoo: priors of its own, scores by class."""
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY, batch=1), TINY, names=("loc", "conf"))
    corners = decoded(net, boxes, PRIORS, name="corners")
    scores = net("Transpose", net("Softmax", logits, axis=2), perm=[0, 2, 1])
    limits = [net.constant([0.5]), net.constant([0.1])]
    net("NonMaxSuppression", corners, scores, net.constant([50], np.int64), *limits, name="selected")
    net.output("selected", ["K", 3], TensorProto.INT64)
    flags = ("--family", "other", "--mean", "127.5", "--scale", str(1 / 127.5))
    imported = run_import(net.model(), *labels("a", "b", "c"), *flags)
    assert "corners that the network decodes itself" in imported.said
    assert_finds_boxes_of(TINY, imported, softmax)


def test_decoding_stays_in_single_precision(run_import, labels):
    net = Net()
    nms_trt(net, *heads(net, nchw(net, TINY), TINY))
    card = run_import(net.model(), *labels("a", "b", "c")).card
    half = in_half_precision(load_network(card))
    types = {
        item.name: item.type.tensor_type.elem_type
        for item in onnx.shape_inference.infer_shapes(half).graph.value_info
    }
    by_operator = {node.op_type: types.get(node.output[0]) for node in half.graph.node}
    assert (by_operator["Conv"], by_operator["Exp"]) == (TensorProto.FLOAT16, TensorProto.FLOAT)
    image = picture(64, 64)
    single, double = (open_onnxruntime(card, network).detect(image) for network in (half, load_network(card)))
    assert len(single) > 0
    best = slice(5)
    np.testing.assert_allclose(single.scores[best], double.scores[best], atol=5e-3)


def test_scores_of_the_best_class_are_no_scores_of_a_single_class(run_import, labels):
    """Each box has one score and one label, and no NMS has run: what they were made of is taken."""
    net = Net()
    boxes, scores = heads(net, nchw(net, TINY), TINY)
    decoded(net, boxes, PRIORS, name="out_boxes")
    net("ReduceMax", net("Sigmoid", scores), name="out_scores", axes=[2], keepdims=0)
    net("ArgMax", scores, name="labels", axis=2, keepdims=0)
    net.output("out_boxes", ["N", TINY.count, 4])
    net.output("out_scores", ["N", TINY.count])
    net.output("labels", ["N", TINY.count], TensorProto.INT64)
    imported = run_import(net.model(), *labels("a", "b", "c"), "--family", "tf_object_detection_api")
    outputs = imported.card.outputs
    assert (outputs.kind, outputs.scores, outputs.score_conversion) == ("decoded_boxes", "scores", "sigmoid")
    assert_finds_boxes_of(TINY, imported, sigmoid)


def test_boxes_in_another_shape_are_not_their_own_scores(run_import):
    net = Net()
    boxes, scores = heads(net, nchw(net, TF_300), TF_300, names=("530", "412"))
    again = net("Identity", boxes, name="600")
    net.nodes.append(net.nodes.pop(-2))
    assert net.nodes[-1].output[0] == scores
    by_class = net("Transpose", scores, perm=[0, 2, 1])
    most = net.constant([50], np.int64)
    net("NonMaxSuppression", again, by_class, most, name="selected", center_point_box=1)
    net.output("selected", ["K", 3], TensorProto.INT64)
    outputs = run_import(net.model(), "--family", "tf_object_detection_api", *LAST).card.outputs
    assert (outputs.boxes, outputs.scores) == ("530", "412")


def test_seven_numbers_that_are_no_detections(refused):
    """As of a YOLO with two classes."""
    net = Net()
    image = nchw(net, TINY, "images", 1)
    net.channels[image] = 3
    rows = net.reshaped(net.convolved(image, 7, size=8, stride=8), 0, 7, 64)
    net("Sigmoid", net("Transpose", rows, perm=[0, 2, 1]), name="output0")
    net.output("output0", [1, 64, 7])
    assert "expected image id, label" in refused(net.model(), "--labels", "voc_20", "--family", "other")


@pytest.mark.parametrize(
    ("operator", "changed", "expected"),
    [
        ("NMS_TRT", {"codeType": 2}, "expected shareLocation 1 and a codeType of centre and size"),
        ("NMS_TRT", {"backgroundLabelId": 2}, "found background 2, expected the first or last column of scores"),
        ("EfficientNMS_TRT", {"box_coding": 0}, "3 inputs and box_coding 0"),
        ("TFLite_Detection_PostProcess", {}, "has 2 inputs, expected more"),
    ],
)
def test_nodes_that_decode_in_another_way(refused, operator, changed, expected):
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY), TINY)
    anchors = [net.constant(PRIORS[None], name="anchors")] if changed else []
    net.multiple(["result"], operator, boxes, logits, *anchors, **changed)
    net.output("result", [1, 10, 4])
    assert expected in refused(net.model(), "--labels", "voc_20")


@pytest.mark.parametrize("names", [("???", "a", "b", "c", "d"), ("background", "a", "b", "c", "d")])
def test_a_first_line_that_names_no_class_goes_where_no_column_is_background(run_import, labels, names):
    net = Net()
    batched_nms(net, *heads(net, nchw(net, TINY), TINY))
    next(item for item in net.nodes[-1].attribute if item.name == "backgroundLabelId").i = -1
    card = run_import(net.model(), *labels(*names), "--family", "pytorch_ssd").card
    assert (card.labels, card.outputs.background) == (("a", "b", "c", "d"), "none")


def test_operators_that_onnx_does_not_have_are_named(refused, labels):
    """As caffe2onnx leaves the prior boxes."""
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY), TINY)
    net.multiple(["result"], "DetectionOutput", boxes, logits, net("PriorBox", logits), codeType=2)
    net.output("result", ["N", 1, 200, 7])
    assert "need PriorBox, expected ONNX operators" in refused(net.model(), *labels("a", "b", "c"))


def test_the_first_line_of_tflite_s_label_files_is_no_class(run_import, labels):
    net = Net()
    tflite(net, *heads(net, nchw(net, TINY), TINY))
    assert run_import(net.model(), *labels("???", "a", "b", "c")).card.labels == ("a", "b", "c")


def test_a_node_for_nms_tells_no_family(refused, labels):
    """Whatever was trained may end in NMS_TRT; NMSDynamic_TRT is TAO's."""
    net = Net()
    caffe(net, *heads(net, nchw(net, TINY), TINY))
    assert "give --family" in refused(net.model(), *labels("a", "b", "c"))


@pytest.mark.parametrize(("classes", "names"), [(4, "abcd"), (3, "abc")])
def test_tflite_counts_classes_without_the_background(run_import, labels, classes, names):
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY), TINY)
    tflite(net, boxes, logits)
    net.nodes[-1].attribute.append(helper.make_attribute("num_classes", classes))
    card = run_import(net.model(), *labels(*names)).card
    assert (len(card.labels), card.outputs.background) == (classes, "none" if classes == 4 else "first")


def test_half_precision_with_prior_boxes_in_the_graph(run_import, labels):
    net = Net()
    image = net("Cast", nchw(net, TINY), to=TensorProto.FLOAT16)
    boxes, logits = heads(net, image, TINY)
    nms_trt(net, boxes, logits)
    for constant in net.constants:
        if constant.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(constant).astype(np.float16)
            constant.CopyFrom(numpy_helper.from_array(half, constant.name))
    imported = run_import(net.model(), *labels("a", "b", "c"))
    image = picture(64, 64)
    scaled = (image - np.array(imported.card.input.mean)[::-1])[..., ::-1]
    encoded, logits = raw_heads(TINY, scaled / 127.5)
    assert len(encoded) == TINY.count
    assert len(imported.detector(0.3).detect(image, "rgb")) > 5
