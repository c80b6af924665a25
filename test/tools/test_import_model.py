"""import_model on networks with every family's shapes; what they find is held against a decoding in float64."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from ssd_networks import (
    FPN_320,
    PYTORCH_300,
    SSDLITE_320,
    TF_300,
    VGG_300,
    Anatomy,
    Net,
    decoded,
    grid_priors,
    heads,
    raw_network,
)

from trt_ssd_ros.core.detections import Detections
from trt_ssd_ros.core.detector import Detector, Thresholds
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.model_card import Family, ModelCard
from trt_ssd_ros.core.network import batch_size, load_network
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from trt_ssd_ros.tools.import_model import main
from trt_ssd_ros.tools.model_import.label_files import read_labels
from trt_ssd_ros.tools.model_import.ssd_families import FAMILIES

TINY = Anatomy(64, (8, 4), (3, 3), 4)


@dataclass
class Imported:
    """What import_model wrote and said."""

    card: ModelCard
    said: str
    folder: Path

    def detector(self, score_threshold: float) -> Detector:
        detector = Detector(OnnxRuntimeEngine(compose(load_network(self.card), self.card)), self.card)
        classes = (score_threshold,) * len(self.card.labels)
        detector.thresholds = Thresholds(classes, self.card.defaults.iou_threshold, 400)
        return detector


@pytest.fixture
def run_import(tmp_path, capsys):
    """Import a network with some flags and return what came of it."""

    def run(model: onnx.ModelProto, *flags: str, name: str = "net") -> Imported:
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        code = main([str(path), *flags])
        said = capsys.readouterr()
        assert code == 0, said.err
        return Imported(ModelCard.load(tmp_path / f"{name}.yaml"), said.out, tmp_path)

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Import a network that cannot be imported and return what was said."""

    def run(model: onnx.ModelProto | bytes, *flags: str, name: str = "net.onnx") -> str:
        path = tmp_path / name
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        assert main([str(path), *flags]) == 1
        assert [file.name for file in tmp_path.iterdir() if file.suffix != ".txt"] == [name], "half-written files"
        error = capsys.readouterr().err
        assert error.startswith("import_model: ")
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture
def labels(tmp_path):
    """Write names into a file and return the flag."""

    def write(*names: str) -> tuple[str, str]:
        path = tmp_path / "labels.txt"
        path.write_text("\n".join(names), encoding="utf-8")
        return "--labels", str(path)

    return write


# What must come out, in float64.


def picture(height: int, width: int) -> np.ndarray:
    """A picture (H, W, 3) of the network's own size, so that nothing is lost in the resize."""
    coarse = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def raw_heads(anatomy: Anatomy, image: np.ndarray, unit: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Run the bare network of an anatomy on a normalised image (H, W, 3)."""
    session = open_session(raw_network(anatomy, layout="NCHW", unit=unit))
    boxes, scores = session.run(None, {"image": image.transpose(2, 0, 1)[None].astype(np.float32)})
    return boxes[0].astype(np.float64), scores[0].astype(np.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def corners_of(encoded: np.ndarray, priors: np.ndarray, order: str) -> np.ndarray:
    """Decode boxes with variances .1 .1 .2 .2 to x1 y1 x2 y2."""
    x, y, w, h = (encoded[:, order.index(letter)] for letter in "xywh")
    centre = np.stack([x, y], 1) * 0.1 * priors[:, 2:] + priors[:, :2]
    size = np.exp(np.stack([w, h], 1) * 0.2) * priors[:, 2:]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def iou(box: np.ndarray, other: np.ndarray) -> float:
    size = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    area = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
    return size.prod() / (area - size.prod())


def greedy(corners: np.ndarray, scores: np.ndarray, threshold: float, iou_threshold: float) -> Detections:
    """Return what greedy NMS within each class leaves, best first, normalised and clipped to the image."""
    kept: list[tuple[int, int]] = []
    for box, label in sorted(np.argwhere(scores >= threshold).tolist(), key=lambda at: -scores[tuple(at)]):
        if not any(same == label and iou(corners[box], corners[other]) > iou_threshold for other, same in kept):
            kept.append((box, label))
    boxes, class_ids = np.array(kept, int).reshape(-1, 2).T
    return Detections(corners[boxes].clip(0, 1), scores[boxes, class_ids], class_ids)


def threshold_for(scores: np.ndarray, count: int = 60) -> float:
    """Return a threshold halfway between two scores, that `count` of them pass."""
    best = np.sort(scores, axis=None)[::-1]
    return float((best[count - 1] + best[count]) / 2)


def assert_finds(imported: Imported, corners: np.ndarray, scores: np.ndarray, image: np.ndarray) -> None:
    """Boxes within 1e-4 of the image and scores within 1e-5, the same classes in the same order."""
    threshold = threshold_for(scores)
    expected = greedy(corners, scores, threshold, imported.card.defaults.iou_threshold)
    found = imported.detector(threshold).detect(image, "rgb")
    height, width = image.shape[:2]
    assert len(expected) > 5
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.boxes / np.tile([width, height], 2), expected.boxes, rtol=0, atol=1e-4)


# Families that end in raw heads.

TO_UNIT = (127.5, 127.5, 127.5), (1 / 127.5,) * 3
TENSORFLOW = "tf_object_detection_api"
TORCHVISION = ("images", "bbox_regression", "cls_logits")
VGG_MEAN = (0.48235 * 255, 0.45882 * 255, 0.40784 * 255), (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("anatomy", "layout", "names", "family", "normalisation", "order", "convert", "iou_threshold"),
    [
        (TF_300, "NHWC", ("x", "raw_outputs/b", "raw_outputs/s"), TENSORFLOW, TO_UNIT, "yxhw", sigmoid, 0.6),
        (TF_300, "NCHW", ("in:0", "concat:0", "concat_1:0"), TENSORFLOW, TO_UNIT, "yxhw", sigmoid, 0.6),
        (FPN_320, "NHWC", ("x", "a", "b"), TENSORFLOW, TO_UNIT, "yxhw", sigmoid, 0.6),
        (VGG_300, "NCHW", TORCHVISION, "torchvision_ssd300", VGG_MEAN, "xywh", softmax, 0.45),
        (SSDLITE_320, "NCHW", ("x", "cat", "cat_1"), "torchvision_ssdlite", TO_UNIT, "xywh", softmax, 0.55),
        (PYTORCH_300, "NCHW", ("input_0", "boxes", "scores"), "pytorch_ssd", TO_UNIT, "xywh", softmax, 0.45),
    ],
    ids=["tf", "tf nchw", "fpnlite", "ssd300", "ssdlite", "pytorch-ssd"],
)  # fmt: skip
def test_a_family_s_raw_heads(
    run_import, anatomy, layout, names, family, normalisation, order, convert, iou_threshold
):
    mean, scale = normalisation
    unit = 127.5 * scale[0]
    imported = run_import(raw_network(anatomy, layout=layout, names=names, unit=unit))
    card = imported.card
    assert (card.family, card.outputs.kind, card.outputs.box_order) == (family, "raw_heads", order)
    assert (card.defaults.iou_threshold, card.outputs.background) == (iou_threshold, "first")
    assert len(card.labels) == anatomy.columns - 1
    np.testing.assert_allclose(card.input.mean, mean)
    np.testing.assert_allclose(card.input.scale, scale)
    image = picture(anatomy.side, anatomy.side)
    encoded, logits = raw_heads(anatomy, (image - np.array(mean)) * np.array(scale), unit)
    corners = corners_of(encoded, card.prior_boxes().astype(np.float64), order)
    if card.outputs.clip_before_nms:
        corners = corners.clip(0, 1)
    assert_finds(imported, corners, convert(logits)[:, 1:], image)


def test_files_stand_beside_the_network_and_the_card_names_it(run_import):
    imported = run_import(raw_network(TF_300))
    assert sorted(path.name for path in imported.folder.iterdir()) == ["net.jpg", "net.onnx", "net.yaml"]
    assert "path: net.onnx" in (imported.folder / "net.yaml").read_text()
    assert imported.card.onnx.path == imported.folder / "net.onnx"
    assert cv2.imread(str(imported.folder / "net.jpg")) is not None
    for line in ("1917, 90 classes", "labels are coco_90", "detected ", "net.yaml"):
        assert line in imported.said


@pytest.mark.parametrize(("stated", "taken"), [("N", "N"), (1, 1), (2, "N")])
def test_a_batch_that_is_only_stated_becomes_dynamic(run_import, stated, taken):
    card = run_import(raw_network(TF_300, batch=stated)).card
    assert batch_size(load_network(card), card) == taken


def test_shapes_that_are_not_stated_are_measured(run_import):
    network = raw_network(TF_300)
    for tensor, axes in ((network.graph.input[0], (1, 2)), *((item, (1,)) for item in network.graph.output)):
        for axis in axes:
            tensor.type.tensor_type.shape.dim[axis].dim_param = "any"
    imported = run_import(network, "--size", "300x300")
    assert "shapes are stated" in imported.said
    assert len(imported.card.prior_boxes()) == 1917


def test_boxes_with_an_axis_more_and_scores_class_by_class(run_import):
    net = Net()
    boxes, scores = heads(net, nchw(net, TF_300), TF_300)
    net("Unsqueeze", boxes, net.constant([2], np.int64), name="four_axes")
    net("Transpose", scores, name="by_class", perm=[0, 2, 1])
    net.output("four_axes", ["N", 1917, 1, 4])
    net.output("by_class", ["N", 91, 1917])
    imported = run_import(net.model())
    image = picture(300, 300)
    encoded, logits = raw_heads(TF_300, image / 127.5 - 1)
    corners = corners_of(encoded, imported.card.prior_boxes().astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], image)


def test_weights_in_another_file_are_taken_into_one(tmp_path, capsys):
    """As torch.onnx writes them; a card's network is one file."""
    path = tmp_path / "net.onnx"
    onnx.save(raw_network(TF_300), path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert main([str(path)]) == 0, capsys.readouterr().err
    card = ModelCard.load(tmp_path / "net.yaml")
    assert card.onnx.path.name == "net.ssd.onnx"
    assert len(load_network(card).graph.node) > 10


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_networks_of_any_opset(run_import, opset):
    imported = run_import(raw_network(TF_300, opset=opset))
    image = picture(300, 300)
    encoded, logits = raw_heads(TF_300, image / 127.5 - 1)
    corners = corners_of(encoded, imported.card.prior_boxes().astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], image)


# Networks that decode, convert or transpose themselves.


def nchw(net: Net, anatomy: Anatomy, name: str = "image", batch: int | str = "N") -> str:
    return net.input(name, [batch, 3, anatomy.side, anatomy.side])


def test_jetson_inference_s_decoded_boxes(run_import):
    """pytorch-ssd's ONNX: softmaxed scores first, then corners."""
    net, priors = Net(), grid_priors(PYTORCH_300)
    boxes, logits = heads(net, nchw(net, PYTORCH_300, "input_0", 1), PYTORCH_300, names=("raw", "logits"))
    net("Softmax", logits, name="scores", axis=2)
    decoded(net, boxes, priors, name="boxes")
    net.output("scores", [1, 3000, 21])
    net.output("boxes", [1, 3000, 4])
    imported = run_import(net.model())
    outputs = imported.card.outputs
    assert (imported.card.family, outputs.kind, outputs.box_order) == ("pytorch_ssd", "decoded_boxes", "xyxy")
    assert (outputs.score_conversion, outputs.box_scales, len(imported.card.labels)) == ("none", (1,) * 4, 20)
    image = picture(300, 300)
    encoded, logits = raw_heads(PYTORCH_300, image / 127.5 - 1)
    assert_finds(imported, corners_of(encoded, priors, "xywh"), softmax(logits)[:, 1:], image)


@pytest.mark.parametrize(
    ("order", "unit", "class_major"), [("yxyx", 1.0, False), ("xyxy", 64.0, False), ("xyxy", 1.0, True)]
)
def test_corners_of_any_order_and_unit_and_scores_class_by_class(run_import, labels, order, unit, class_major):
    net, priors = Net(), grid_priors(TINY)
    boxes, logits = heads(net, nchw(net, TINY), TINY, names=("raw", "logits"))
    scores = net("Sigmoid", logits, name="row_scores")
    if class_major:
        scores = net("Transpose", scores, name="column_scores", perm=[0, 2, 1])
    decoded(net, boxes, priors, name="corners", order=order, unit=unit)
    net.output("corners", ["N", TINY.count, 4])
    net.output(scores, ["N", 4, TINY.count] if class_major else ["N", TINY.count, 4])
    imported = run_import(net.model(), *labels("a", "b", "c"), "--family", "tf_object_detection_api")
    outputs = imported.card.outputs
    assert (outputs.box_order, outputs.box_scales, outputs.score_conversion) == (order, (unit,) * 4, "none")
    image = picture(64, 64)
    encoded, logits = raw_heads(TINY, image / 127.5 - 1)
    assert_finds(imported, corners_of(encoded, priors, "xywh"), sigmoid(logits)[:, 1:], image)


def test_as_many_labels_as_columns_are_no_background(run_import, labels):
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY), TINY, names=("raw", "logits"))
    net("Sigmoid", logits, name="scores")
    decoded(net, boxes, grid_priors(TINY), name="corners")
    net.output("scores", ["N", TINY.count, 4])
    net.output("corners", ["N", TINY.count, 4])
    imported = run_import(net.model(), *labels("a", "b", "c", "d"), "--family", "pytorch_ssd")
    assert (imported.card.outputs.background, len(imported.card.labels)) == ("none", 4)
    assert "no column is background" in imported.said


# Networks that end in non-maximum suppression.

PRIORS = grid_priors(TINY)
CORNERS = np.concatenate([PRIORS[:, :2] - PRIORS[:, 2:] / 2, PRIORS[:, :2] + PRIORS[:, 2:] / 2], axis=1)
VARIANCES = np.tile([0.1, 0.1, 0.2, 0.2], (TINY.count, 1))


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


@pytest.mark.parametrize("suppress", [nms_trt, tflite, efficient_nms, batched_nms, plain_nms])
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
    assert not {"NonMaxSuppression", suppress.__name__} & {node.op_type for node in network.graph.node}
    image = picture(64, 64)
    encoded, logits = raw_heads(TINY, image / 127.5 - 1)
    assert_finds(imported, corners_of(encoded, PRIORS, "xywh"), softmax(logits)[:, 1:], image)


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


# What stands in front of the network.


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
    corners = decoded(net, boxes, grid_priors(TF_300), name="corners")
    classes = net("Transpose", net("Sigmoid", scores), perm=[0, 2, 1])
    limits = [net.constant([0.5]), net.constant([0.1])]
    chosen = net("NonMaxSuppression", corners, classes, net.constant([50], np.int64), *limits)
    box = net("Gather", chosen, net.constant([2], np.int64), axis=1)
    net("Gather", corners, box, name="detection_boxes:0", axis=1)
    net.output("detection_boxes:0", ["a", "b", "c", 4])
    imported = run_import(net.model(), *flags)
    card = imported.card
    assert (card.family, card.outputs.kind, card.input.height) == (TENSORFLOW, "raw_heads", 300)
    np.testing.assert_allclose(card.input.mean, TO_UNIT[0], rtol=1e-4)
    assert not {"Loop", "NonMaxSuppression"} & {node.op_type for node in load_network(card).graph.node}
    photo = picture(300, 300)
    encoded, logits = raw_heads(TF_300, photo / 127.5 - 1)
    corners = corners_of(encoded, card.prior_boxes().astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], photo)


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
    assert "the inputs of NonMaxSuppression" in imported.said
    image = picture(64, 64)
    encoded, logits = raw_heads(TINY, image / 127.5 - 1)
    assert_finds(imported, corners_of(encoded, PRIORS, "xywh"), softmax(logits)[:, 1:], image)


def test_normalisation_in_the_graph_stays_there(run_import):
    net = Net()
    image = net.input("image", [1, 300, 300, 3])
    scaled = net("Sub", net("Mul", image, net.constant(1 / 127.5)), net.constant(1.0))
    heads(net, net("Transpose", scaled, perm=[0, 3, 1, 2]), TF_300)
    net.output("boxes", [1, 1917, 4])
    net.output("scores", [1, 1917, 91])
    imported = run_import(net.model())
    assert (imported.card.input.mean, imported.card.input.scale) == ((0,) * 3, (1,) * 3)
    assert "normalises its input itself" in imported.said


# Half precision.


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
    single, double = (
        Detector(OnnxRuntimeEngine(compose(network, card)), card).detect(image)
        for network in (half, load_network(card))
    )
    assert len(single) > 0
    best = slice(5)
    np.testing.assert_allclose(single.scores[best], double.scores[best], atol=5e-3)


# What is refused.


def test_a_network_of_no_known_family_is_listed(refused):
    error = refused(raw_network(TINY), "--labels", "coco_80")
    assert "240 boxes for an input of 64x64 are the priors of no known family" in error
    assert "torchvision_ssd300" in error


def test_boxes_scores_and_labels_after_nms_are_no_heads(refused):
    """Each box has one score and one label already: they are not the scores of a single class."""
    net = Net()
    boxes, scores = heads(net, nchw(net, TINY), TINY)
    decoded(net, boxes, PRIORS, name="out_boxes")
    net("ReduceMax", net("Sigmoid", scores), name="out_scores", axes=[2], keepdims=0)
    net("ArgMax", scores, name="labels", axis=2, keepdims=0)
    net.output("out_boxes", ["N", TINY.count, 4])
    net.output("out_scores", ["N", TINY.count])
    net.output("labels", ["N", TINY.count], TensorProto.INT64)
    assert "are the priors of no known family" in refused(net.model(), "--labels", "coco_80")


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
    assert "input image: FLOAT [?, ?, ?, 3] has no size: give --size" in refused(network)


def test_labels_are_asked_for(refused):
    assert "give --labels" in refused(raw_network(Anatomy(300, TF_300.maps, TF_300.boxes, 5)))


def test_too_few_labels_are_named(refused, labels):
    error = refused(raw_network(TF_300), *labels("a", "b"))
    assert "labels: found 2 in" in error
    assert "expected 90 for 91 columns" in error


def test_families_that_share_their_priors_are_asked_for(refused):
    error = refused(raw_network(Anatomy(300, VGG_300.maps, VGG_300.boxes, 81)))
    assert "8732 boxes for an input of 300x300 fit several families: give --family" in error
    assert "caffe_ssd_coco" in error


def test_what_is_no_detector_is_listed(refused):
    net = Net()
    image = net.input("image", [1, 3, 8, 8])
    net.channels[image] = 3
    net.reshaped(net.convolved(image, 2, size=8), 1, 2, name="logits")
    net.output("logits", [1, 2])
    error = refused(net.model())
    for part in ("--boxes and --scores", "image: FLOAT [1, 3, 8, 8]", "logits: FLOAT [1, 2]", "ends in "):
        assert part in error


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("net.onnx", b"", "without a graph"),
        ("net.onnx", b"<html>", "expected ONNX"),
        ("net.etlt", b"", "encrypted TAO model"),
        ("net.tflite", b"", "tf2onnx"),
        ("net.pt", b"", "torch.onnx.export"),
        ("net.plan", b"", "the ONNX file that it was built of"),
    ],
)
def test_other_files_are_named_with_what_to_do(refused, name, content, expected):
    assert expected in refused(content, name=name)


def test_a_missing_file_is_named(capsys, tmp_path):
    assert main([str(tmp_path / "none.onnx")]) == 1
    assert "none.onnx" in capsys.readouterr().err


def test_files_of_an_earlier_import_stay_unless_forced(run_import, capsys):
    imported = run_import(raw_network(TF_300))
    before = (imported.folder / "net.yaml").read_bytes()
    assert main([str(imported.folder / "net.onnx"), "--score-threshold", "0.9"]) == 1
    assert "are there already: give --force" in capsys.readouterr().err
    assert (imported.folder / "net.yaml").read_bytes() == before
    assert main([str(imported.folder / "net.onnx"), "--score-threshold", "0.9", "--force"]) == 0
    assert ModelCard.load(imported.folder / "net.yaml").defaults.score_threshold == 0.9


@pytest.mark.parametrize(
    "flags",
    [
        ["--size", "300"],
        ["--size", "0x300"],
        ["--size", "9000x9000"],
        ["--mean", "1,2"],
        ["--family", "yolo"],
        ["--background", "0"],
        [],
    ],
)
def test_wrong_arguments_are_refused(flags):
    with pytest.raises(SystemExit, match="2"):
        main([*flags, *(["model.onnx"] if flags else [])])


def test_a_card_may_name_every_family():
    assert set(FAMILIES) == set(get_args(Family))


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    for part in ("import_model model.onnx", "--labels", "--score-conversion", "torchvision"):
        assert part in said


def test_a_reader_that_has_had_enough_does_not_end_the_import(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(raw_network(TF_300).SerializeToString())
    process = subprocess.Popen(
        [sys.executable, "-m", "trt_ssd_ros.tools.import_model", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    assert ModelCard.load(tmp_path / "net.yaml").name == "net"


# What a card could be silently wrong about.


def decoded_network(net: Net, image: str, names: tuple[str, str] = ("corners", "scores")) -> onnx.ModelProto:
    boxes, logits = heads(net, image, TINY, names=("raw", "logits"))
    net("Softmax", logits, name=names[1], axis=2)
    decoded(net, boxes, PRIORS, name=names[0])
    net.output(names[1], ["N", TINY.count, 4])
    net.output(names[0], ["N", TINY.count, 4])
    return net.model()


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


def test_bytes_that_are_not_normalised_are_0_to_255(run_import, labels):
    """The convolution's weights do it: nothing is left for the family's mean."""
    net = Net()
    image = net("Cast", net.input("image", ["N", 3, 64, 64], TensorProto.UINT8), to=TensorProto.FLOAT)
    card = run_import(decoded_network(net, image), *labels("a", "b", "c"), "--family", "pytorch_ssd").card
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
    card = run_import(decoded_network(net, resized), *labels("a", "b", "c"), "--family", "other").card
    assert (card.input.resize, card.input.height) == (mode, 64)


def test_three_classes_and_the_background_are_not_taken_for_boxes(run_import, labels):
    """Scores come first and have four columns, too; names tell nothing."""
    net = Net()
    model = decoded_network(net, nchw(net, TINY), names=("530", "412"))
    assert run_import(model, *labels("a", "b", "c"), "--family", "other").card.outputs.boxes == "530"


def test_boxes_and_scores_that_nothing_tells_apart_are_asked_for(refused):
    error = refused(raw_network(TINY, names=("image", "412", "530")), "--labels", "coco_80")
    assert "'412' and '530' both have four numbers a box: name them with --boxes and --scores" in error


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
    outputs = run_import(net.model(), "--family", TENSORFLOW).card.outputs
    assert (outputs.boxes, outputs.scores) == ("530", "412")


def test_scores_that_were_multiplied_are_scores(run_import, labels):
    net = Net()
    decoded_network(net, nchw(net, TINY), names=("corners", "alone"))
    product = net("Mul", "alone", net.constant(0.9), name="scores")
    del net.outputs[0]
    net.output(product, ["N", TINY.count, 4])
    card = run_import(net.model(), *labels("a", "b", "c"), "--family", "other").card
    assert card.outputs.score_conversion == "none"


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
        ("NMS_TRT", {"codeType": 2}, "decodes boxes in a way that is not supported"),
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


def test_the_first_line_of_tflite_s_label_files_is_no_class(run_import, labels):
    net = Net()
    tflite(net, *heads(net, nchw(net, TINY), TINY))
    assert run_import(net.model(), *labels("???", "a", "b", "c")).card.labels == ("a", "b", "c")


def test_names_in_label_maps_may_have_apostrophes(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text("""item { name: "bull's eye" id: 1 } item { name: '/m/01' id: 2 display_name: 'dog' }""")
    assert read_labels(str(path)) == ["bull's eye", "dog"]


def test_priors_that_a_graph_does_not_show_are_said_to_be_assumed(run_import):
    assert "assumed   the prior boxes are those published" in run_import(raw_network(TF_300)).said


@pytest.mark.parametrize("shape", [["N", "H", "W", "C"], ["N", "C", 300, 300]])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_channels_that_are_not_stated(run_import, layout, shape):
    """As torch exports them with all axes dynamic."""
    if (layout, shape[2]) == ("NHWC", 300):
        shape = ["N", 300, 300, 3]
    network = raw_network(TF_300, layout=layout)
    network.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
    assert run_import(network, "--size", "300x300").card.input.layout == layout


def test_another_network_of_that_name_is_not_written_over(tmp_path, capsys, labels):
    net = Net()
    (tmp_path / "net.onnx").write_bytes(decoded_network(net, net("Abs", nchw(net, TINY))).SerializeToString())
    other = tmp_path / "models" / "net.onnx"
    other.parent.mkdir()
    other.write_bytes(b"precious")
    flags = ["--output", str(other.parent), "--family", "other", *labels("a", "b", "c")]
    assert main([str(tmp_path / "net.onnx"), *flags]) == 1
    assert f"{other} is there already: give --force" in capsys.readouterr().err
    assert ([file.name for file in other.parent.iterdir()], other.read_bytes()) == (["net.onnx"], b"precious")


def test_a_name_is_no_path(refused):
    assert "--name: found '../net', expected a file's name" in refused(raw_network(TF_300), "--name", "../net")


@pytest.mark.parametrize("name", ["net.json", "net.textproto", "net.onnxtxt"])
def test_a_suffix_does_not_choose_the_parser(refused, name):
    assert "expected ONNX, found something else" in refused(b"no protobuf", name=name)


def test_bars_beside_an_image_are_refused(refused, labels):
    net = Net()
    image = net(
        "Resize", net.input("image", ["N", 3, 64, 128]), "", net.constant([1.0, 1, 0.5, 0.5]), mode="linear"
    )
    padded = net("Pad", image, net.constant([0, 0, 0, 0, 0, 0, 32, 0], np.int64))
    model = decoded_network(net, padded)
    assert "letterbox" in refused(model, *labels("a", "b", "c"), "--family", "other")


def test_corners_that_were_made_without_an_exponential(run_import):
    """1917 boxes and convolutions alone would be raw heads of a family."""
    net, priors = Net(), grid_priors(TF_300)
    boxes, logits = heads(net, nchw(net, TF_300), TF_300, names=("raw", "logits"))
    moved = net("Mul", boxes, net.constant(0.0))
    corners = np.concatenate([priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], axis=1)
    net("Add", moved, net.constant(corners[None]), name="boxes")
    net.output("boxes", ["N", 1917, 4])
    net("Sigmoid", logits, name="scores")
    net.output("scores", ["N", 1917, 91])
    card = run_import(net.model(), "--family", TENSORFLOW).card
    assert (card.outputs.kind, card.outputs.box_order) == ("decoded_boxes", "xyxy")


def test_voc_s_classes_do_not_tell_caffe_from_its_ports(refused):
    """ssd.pytorch has the same boxes and classes, but takes rgb."""
    assert "give --family" in refused(raw_network(Anatomy(300, VGG_300.maps, VGG_300.boxes, 21), layout="NCHW"))
