"""import_model on networks with every family's heads, held against a decoding in float64."""

from __future__ import annotations

import numpy as np
import pytest
from import_runs import LAST, assert_finds, assert_finds_boxes_of, corners_of, picture, raw_heads, sigmoid, softmax
from onnx import TensorProto, helper
from ssd_networks import (
    FPN_320,
    PYTORCH_300,
    SSDLITE_320,
    TF_300,
    TINY,
    VGG_300,
    Anatomy,
    Net,
    decoded,
    decoded_network,
    grid_priors,
    heads,
    nchw,
    raw_network,
)

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.priors import SsdAnchorGenerator

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
    flags = LAST if anatomy is TF_300 else ()
    imported = run_import(raw_network(anatomy, layout=layout, names=names, unit=unit), *flags)
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


def test_boxes_with_an_axis_more_and_scores_class_by_class(run_import):
    net = Net()
    boxes, scores = heads(net, nchw(net, TF_300), TF_300)
    net("Unsqueeze", boxes, net.constant([2], np.int64), name="four_axes")
    net("Transpose", scores, name="by_class", perm=[0, 2, 1])
    net.output("four_axes", ["N", 1917, 1, 4])
    net.output("by_class", ["N", 91, 1917])
    imported = run_import(net.model(), *LAST)
    image = picture(300, 300)
    encoded, logits = raw_heads(TF_300, image / 127.5 - 1)
    corners = corners_of(encoded, imported.card.prior_boxes().astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], image)


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
    assert_finds_boxes_of(PYTORCH_300, imported, softmax)


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
    assert_finds_boxes_of(TINY, imported, sigmoid)


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


@pytest.mark.parametrize(
    ("columns", "background", "said"),
    [(90, "none", "labels are coco_90, as there are 90 columns, one for each id"), (91, "first", "91 columns")],
)
def test_coco_s_columns_tell_its_labels(run_import, columns, background, said):
    imported = run_import(raw_network(Anatomy(300, TF_300.maps, TF_300.boxes, columns)), *LAST)
    assert said in imported.said
    assert (imported.card.outputs.background, len(imported.card.labels)) == (background, 90)
    assert (imported.card.first_class_id, imported.card.classes[13]) == (1, "stop sign"), "COCO's ids"
    assert {imported.card.labels[index] for index in (0, 16, 89)} == {"person", "cat", "toothbrush"}


@pytest.mark.parametrize(
    ("anatomy", "flags"),
    [(TF_300, ("--background", "first")), (TF_300, ("--score-conversion", "softmax")), (SSDLITE_320, ())],
)
def test_90_columns_that_have_a_background_tell_no_labels(refused, anatomy, flags):
    """89 classes: stated, or because a softmax needs one column for the background."""
    network = raw_network(Anatomy(anatomy.side, anatomy.maps, anatomy.boxes, 90))
    assert "class names are missing for 90 score columns" in refused(network, *flags)


def test_a_network_of_no_known_family_is_listed(refused):
    error = refused(raw_network(Anatomy(64, TINY.maps, TINY.boxes, 81)), "--labels", "coco_80")
    assert "240 boxes for an input of 64x64, on feature maps of 8x8x3, 4x4x3 boxes, match the" in error
    assert "match the prior boxes of no known family" in error
    assert "torchvision_ssd300" in error


def test_families_that_share_their_priors_are_asked_for(refused):
    error = refused(raw_network(Anatomy(300, VGG_300.maps, VGG_300.boxes, 81)))
    assert "8732 boxes for an input of 300x300 fit several families: give --family" in error
    assert "caffe_ssd_coco" in error


def test_three_classes_and_the_background_are_not_taken_for_boxes(run_import, labels):
    """Scores come first and have four columns, too; names tell nothing."""
    net = Net()
    model = decoded_network(net, nchw(net, TINY), names=("530", "412"))
    assert run_import(model, *labels("a", "b", "c"), "--family", "other").card.outputs.boxes == "530"


@pytest.mark.parametrize("names", [("412", "530"), ("boxes", "scores")])
def test_boxes_and_scores_that_nothing_tells_apart_are_asked_for(refused, names):
    """Their names do not count."""
    error = refused(raw_network(TINY, names=("image", *names)), "--labels", "coco_80")
    assert f"{names[0]!r} and {names[1]!r} both have four numbers a box" in error
    assert "no sigmoid or softmax tells which are scores: name both with --boxes and --scores" in error


@pytest.mark.parametrize("names", [("412", "530"), ("scores", "boxes")])
def test_heads_inside_that_nothing_tells_apart_are_left(run_import, labels, names):
    """Logits of three classes and the background, a softmax in single steps: what NMS reads is taken."""
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY, batch=1), TINY, names=names)
    powers = net("Exp", logits)
    scores = net("Div", powers, net("ReduceSum", powers, net.constant([2], np.int64)), name="probabilities")
    corners = decoded(net, boxes, grid_priors(TINY), name="corners")
    by_class = net("Transpose", scores, perm=[0, 2, 1])
    net("NonMaxSuppression", corners, by_class, net.constant([50], np.int64), name="selected")
    net.output("selected", ["K", 3], TensorProto.INT64)
    flags = ("--family", "other", "--mean", "127.5", "--scale", str(1 / 127.5), "--box-order", "xyxy")
    imported = run_import(net.model(), *labels("a", "b", "c"), *flags)
    assert "the inputs of NonMaxSuppression" in imported.said
    assert_finds_boxes_of(TINY, imported, softmax)


def test_scores_that_were_multiplied_are_scores(run_import, labels):
    net = Net()
    decoded_network(net, nchw(net, TINY), names=("corners", "alone"))
    product = net("Mul", "alone", net.constant(0.9), name="scores")
    del net.outputs[0]
    net.output(product, ["N", TINY.count, 4])
    card = run_import(net.model(), *labels("a", "b", "c"), "--family", "other").card
    assert card.outputs.score_conversion == "none"


def test_priors_that_a_graph_does_not_show_are_said_to_be_assumed(run_import):
    assert "assumed   the prior boxes are those published" in run_import(raw_network(TF_300), *LAST).said


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


# Prior boxes that only look like a family's.


def test_a_count_of_boxes_that_lie_in_other_cells_is_no_family_s(refused):
    """1917 boxes, but not as many of them on each feature map as the family has."""
    error = refused(raw_network(Anatomy(300, TF_300.maps, (3, 6, 6, 8, 2, 4), 91)))
    assert "1917 boxes for an input of 300x300, on feature maps of 19x19x3, 10x10x6, 5x5x6, 3x3x8" in error
    assert f"the prior boxes of family {TENSORFLOW} do not match" in refused(
        raw_network(Anatomy(300, TF_300.maps, (3, 6, 6, 8, 2, 4), 91)), "--family", TENSORFLOW
    )


@pytest.mark.parametrize("flags", [(), ("--family", TENSORFLOW)])
def test_prior_boxes_of_its_own_are_those_of_the_network_s_decoding(run_import, flags):
    """1917 boxes in the family's cells, but other shapes, as the network itself decodes for its NMS."""
    net = Net()
    image = net("Sub", net("Mul", nchw(net, TF_300), net.constant(1 / 127.5)), net.constant(1.0))
    boxes, scores = heads(net, image, TF_300)
    suppressed(net, decoded(net, boxes, grid_priors(TF_300), name="corners"), scores)
    imported = run_import(net.model(), *flags)
    assert (imported.card.outputs.kind, imported.card.outputs.box_order) == ("decoded_boxes", "xyxy")
    assert_finds_boxes_of(TF_300, imported, sigmoid)


def test_prior_boxes_are_checked_where_the_network_decodes_with_them(run_import):
    net, priors = Net(), SsdAnchorGenerator(TF_300.maps).priors(300, 300)
    boxes, scores = heads(net, nchw(net, TF_300), TF_300)
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    suppressed(net, decoded(net, swapped, priors, name="corners", order="yxyx"), scores)
    imported = run_import(net.model(), "--family", TENSORFLOW)
    assert imported.card.outputs.kind == "raw_heads"
    assert "they decode to the network's own corners" in imported.said


def suppressed(net: Net, corners: str, scores: str, iou_threshold: float = 0.5) -> None:
    """End a network in NMS of the best 100 boxes, as torchvision and TensorFlow do inside of their loops."""
    best = net("ReduceMax", net("Sigmoid", scores), axes=[0, 2], keepdims=0)
    net.multiple(["best_scores", "best_boxes"], "TopK", best, net.constant([100], np.int64))
    few = net("Gather", corners, "best_boxes", axis=1)
    shaped = net.reshaped("best_scores", 1, 1, 100)
    chosen = net("NonMaxSuppression", few, shaped, net.constant([50], np.int64), net.constant([iou_threshold]))
    net("Gather", few, net("Gather", chosen, net.constant([2], np.int64), axis=1), name="kept", axis=1)
    net.output("kept", ["a", "b", "c", 4])


def test_rows_shape_by_shape_come_into_the_order_of_the_priors(run_import):
    """NVIDIA's SSD300 shows (N, 4, A) and (N, 81, A), all cells of one shape after the other (dboxes300_coco)."""
    net, anatomy = Net(), Anatomy(300, VGG_300.maps, VGG_300.boxes, 81)
    heads(net, nchw(net, anatomy), anatomy, names=("ploc", "plabel"), shape_by_shape=True)
    net.output("ploc", ["N", 4, 8732])
    net.output("plabel", ["N", 81, 8732])
    imported = run_import(net.model(), "--family", "nvidia_ssd")
    image = picture(300, 300)
    pixels = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    feed = {"image": pixels.transpose(2, 0, 1)[None].astype(np.float32)}
    encoded, logits = (array[0].T.astype(np.float64) for array in open_session(net.model()).run(None, feed))
    corners = corners_of(encoded, dboxes300_coco(), "xywh")
    assert_finds(imported, corners, softmax(logits)[:, 1:], image)


def dboxes300_coco() -> np.ndarray:
    """The default boxes of NVIDIA's SSD300, x y w h, as its DefaultBoxes lays them."""
    scales, steps = np.array([21, 45, 99, 153, 207, 261, 315]) / 300, (8, 16, 32, 64, 100, 300)
    rows = []
    for cells, step, scale, after, count in zip(
        VGG_300.maps, steps, scales[:-1], scales[1:], VGG_300.boxes, strict=True
    ):
        shapes = [(scale, scale), ((scale * after) ** 0.5,) * 2]
        for ratio in (2, 3)[: count // 2 - 1]:
            shapes += [(scale * ratio**0.5, scale / ratio**0.5), (scale / ratio**0.5, scale * ratio**0.5)]
        rows += [
            ((x + 0.5) * step / 300, (y + 0.5) * step / 300, w, h)
            for w, h in shapes
            for y in range(cells)
            for x in range(cells)
        ]
    return np.clip(rows, 0, 1)


# What the graph tells beside its boxes.


@pytest.mark.parametrize("form", ["centre and size", "corner and size"])
@pytest.mark.parametrize("unit", [1.0, 64.0])
def test_boxes_given_as_a_point_and_their_size(run_import, labels, form, unit):
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY), TINY, names=("raw", "logits"))
    corners = decoded(net, boxes, grid_priors(TINY), name="corners", unit=unit)
    first, second = (net("Slice", corners, *(net.constant([n], np.int64) for n in (i, i + 2, 2))) for i in (0, 2))
    size = net("Sub", second, first)
    point = first if form == "corner and size" else net("Mul", net("Add", first, second), net.constant(0.5))
    net("Concat", point, size, name="boxes", axis=2)
    net("Sigmoid", logits, name="scores")
    net.output("boxes", ["N", TINY.count, 4])
    net.output("scores", ["N", TINY.count, 4])
    imported = run_import(net.model(), *labels("a", "b", "c"), "--family", TENSORFLOW)
    assert f"boxes are converted from {form} to corners" in imported.said
    assert_finds_boxes_of(TINY, imported, sigmoid)


def test_corners_that_the_network_clips_are_clipped(run_import):
    """The threshold of its NMS is taken, too."""
    net, priors = Net(), SsdAnchorGenerator(TF_300.maps).priors(300, 300)
    boxes, scores = heads(net, nchw(net, TF_300), TF_300)
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    corners = decoded(net, swapped, priors, name="corners", order="yxyx", unit=300.0)
    clipped = net("Clip", corners, net.constant(0.0), net.constant(300.0))
    suppressed(net, clipped, scores, 0.35)
    card = run_import(net.model(), "--family", TENSORFLOW).card
    assert (card.outputs.kind, card.outputs.clip_before_nms) == ("raw_heads", True)
    assert card.defaults.iou_threshold == 0.35


def test_one_output_of_boxes_and_scores(run_import):
    net = Net()
    net("Concat", *heads(net, nchw(net, TF_300), TF_300), name="joined", axis=2)
    net.output("joined", ["N", 1917, 95])
    assert run_import(net.model(), *LAST).card.outputs.kind == "raw_heads"


def test_a_softmax_has_a_background(refused, labels):
    net = Net()
    model = decoded_network(net, nchw(net, TINY))
    error = refused(model, *labels("a", "b", "c", "d"), "--family", "other")
    assert "labels: found 4" in error
    assert "a softmax needs one for the background" in error


def test_a_softmax_without_its_background_has_none(run_import, labels):
    net = Net()
    decoded_network(net, nchw(net, TINY), names=("corners", "whole"))
    net("Slice", "whole", *(net.constant([n], np.int64) for n in (1, 4, 2)), name="scores")
    del net.outputs[0]
    net.output("scores", ["N", TINY.count, 3])
    card = run_import(net.model(), *labels("a", "b", "c"), "--family", "other").card
    assert (card.outputs.background, len(card.labels)) == ("none", 3)


def test_names_that_many_networks_have_tell_no_family(refused, labels):
    """Keras' SSDs have an mbox_loc, anybody's export an input_0."""
    net = Net()
    model = decoded_network(net, nchw(net, TINY, "input_0"), names=("mbox_loc", "mbox_conf"))
    assert "give --family" in refused(model, *labels("a", "b", "c"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("boxes", "boxes"), "found 'boxes' for both"),
        (("scores", "boxes"), "boxes 'scores' have shape [1, 9, 5], expected four numbers a box"),
        (("boxes", "nothing"), "the network has no tensor 'nothing'"),
    ],
)
def test_tensors_that_the_user_named_wrongly(refused, names, expected):
    anatomy = Anatomy(64, (3,), (1,), 5)
    error = refused(raw_network(anatomy), "--boxes", names[0], "--scores", names[1])
    assert expected in error


def test_outputs_that_are_no_tensors_are_left(run_import):
    """As of a detector that was exported with a list of results."""
    net = Net()
    boxes, scores = heads(net, nchw(net, TF_300), TF_300)
    net.outputs.append(helper.make_tensor_sequence_value_info("results", TensorProto.FLOAT, None))
    net("SequenceConstruct", boxes, scores, name="results")
    assert run_import(net.model(), *LAST).card.outputs.kind == "raw_heads"


@pytest.mark.parametrize("flags", [(), ("--boxes", "regressors", "--scores", "scores")])
def test_boxes_with_keypoints_are_no_boxes(refused, flags):
    """As of MediaPipe's face detectors: 16 numbers of each box."""
    net, anatomy = Net(), Anatomy(64, (8, 4), (2, 6), 4)
    wide = Anatomy(64, (8, 4), (8, 24), 1)
    image = nchw(net, anatomy, batch=1)
    raw, _ = heads(net, image, wide, names=("raw", "unused"))
    net.reshaped(raw, 1, -1, 16, name="regressors")
    heads(net, image, anatomy, names=("four", "scores"))
    net.output("regressors", [1, 224, 16])
    net.output("scores", [1, 224, 4])
    error = refused(net.model(), *flags, "--labels", "voc_20")
    assert ("such as keypoints, export the boxes alone" in error) == bool(flags)
