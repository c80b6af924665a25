"""import_model on networks whose outputs are final detections, held against what the networks themselves find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from import_runs import Imported, picture
from onnx import TensorProto
from ssd_networks import PRIORS, TINY, Net, decoded, head_levels, head_rows, nchw

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.network import batch_size, load_network

SAME_THRESHOLD = 0.75
PER_LEVEL = 40


@dataclass(frozen=True)
class Layout:
    """How a network shows its detections.

    Attributes:
        flags: What the user must say.
        order: Of the corners' numbers.
        unit: Of the corners.
        first: The label of the first class.
        image: Height and width of the images that the network resizes, in whose pixels it shows boxes; none if 0.
    """

    flags: tuple[str, ...]
    order: str = "xyxy"
    unit: float = 1.0
    first: int = 1
    image: tuple[int, int] = (0, 0)


TORCHVISION = Layout(("--family", "torchvision_ssd300"), unit=64.0)
RESIZED = Layout(("--family", "torchvision_ssd300"), image=(96, 128))
TENSORFLOW = Layout(("--family", "tf_object_detection_api"), order="yxyx")
MODEL_ZOO = Layout(("--box-order", "xyxy", "--background", "first"))
PADDLE = Layout(("--box-order", "xyxy"), unit=64.0, first=0)
MMDETECTION = Layout(("--box-order", "xyxy"), unit=64.0, first=0)


def detections(layout: Layout) -> tuple[Net, str, str, str]:
    """Add a network that takes the best of each feature map into NMS, so that nothing in it holds all boxes.

    Returns:
        The network, and the names of its boxes (D, 4), scores (D,) and labels (D,).
    """
    net = Net()
    height, width = layout.image if layout.image[0] else (64, 64)
    image = net.input("image", [1, height, width, 3], TensorProto.UINT8)
    pixels = net("Transpose", net("Cast", image, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    if layout.image[0]:
        pixels = net("Resize", pixels, "", "", net.constant([1, 3, 64, 64], np.int64), mode="linear")
    pixels = net("Sub", net("Mul", pixels, net.constant(1 / 127.5)), net.constant(1.0))
    parts: list[list[str]] = [[], [], []]
    start = 0
    for level, (boxes, logits) in enumerate(head_levels(net, pixels, TINY, 1.0, head_rows)):
        count = TINY.maps[level] ** 2 * TINY.boxes[level]
        corners = decoded(net, boxes, PRIORS[start : start + count], name=f"corners{level}")
        start += count
        classes = net("Slice", net("Sigmoid", logits), *(net.constant([n], np.int64) for n in (1, 4, 2)))
        best = net("ReduceMax", classes, axes=[0, 2], keepdims=0)
        label = net("ArgMax", net("Squeeze", classes, net.constant([0], np.int64)), axis=1, keepdims=0)
        top = [f"top{level}", f"index{level}"]
        net.multiple(top, "TopK", best, net.constant([PER_LEVEL], np.int64))
        parts[0].append(net("Gather", corners, top[1], axis=1))
        parts[1].append(top[0])
        parts[2].append(net("Gather", label, top[1], axis=0))
    corners, scores, labels = (net("Concat", *part, axis=int(not i)) for i, part in enumerate(parts))
    shaped = net.reshaped(scores, 1, 1, -1)
    limits = (net.constant([50], np.int64), net.constant([0.5]), net.constant([0.1]))
    chosen = net("NonMaxSuppression", corners, shaped, *limits)
    chosen = net(
        "Squeeze", net("Gather", chosen, net.constant([2], np.int64), axis=1), net.constant([1], np.int64)
    )
    kept = net("Gather", net("Squeeze", corners, net.constant([0], np.int64)), chosen, axis=0)
    if layout.order == "yxyx":
        kept = net("Gather", kept, net.constant([1, 0, 3, 2], np.int64), axis=1)
    kept = net("Mul", kept, net.constant(layout.unit))
    if layout.image[0]:
        sides = net("Gather", net("Shape", image), net.constant([2, 1, 2, 1], np.int64))
        kept = net("Mul", kept, net("Cast", sides, to=TensorProto.FLOAT))
    label = net("Add", net("Gather", labels, chosen, axis=0), net.constant(layout.first, np.int64))
    return net, kept, net("Gather", scores, chosen, axis=0), label


ROWS = 64


def filled(net: Net, tensor: str, padding: float | list[float] = 0) -> str:
    """Fill a tensor up to a fixed number of rows."""
    kind, shape = (np.float32, (ROWS, 4)) if isinstance(padding, list) else (type(padding), (ROWS,))
    more = net.constant(np.broadcast_to(padding, shape), np.int64 if kind is int else np.float32)
    ends = [net.constant([n], np.int64) for n in (0, ROWS, 0)]
    return net("Slice", net("Concat", tensor, more, axis=0), *ends)


def torchvision(net: Net, boxes: str, scores: str, labels: str, rows: str | int) -> None:
    """Export of a whole detector: boxes, scores, labels int64."""
    for name, tensor in (("boxes", boxes), ("scores", scores), ("labels", labels)):
        net("Identity", tensor, name=name)
    net.output("boxes", [rows, 4])
    net.output("scores", [rows])
    net.output("labels", [rows], TensorProto.INT64)


def model_zoo(net: Net, boxes: str, scores: str, labels: str, rows: str | int) -> None:
    """ssd-10 of ONNX's model zoo: the same with a batch, and other names."""
    first = net.constant([0], np.int64)
    for name, tensor in (("bboxes", boxes), ("labels", labels), ("scores", scores)):
        net("Unsqueeze", tensor, first, name=name)
    net.output("bboxes", [1, rows, 4])
    net.output("labels", [1, rows], TensorProto.INT64)
    net.output("scores", [1, rows])


def tensorflow(
    net: Net,
    boxes: str,
    scores: str,
    labels: str,
    rows: str | int,
    names: tuple[str, ...] = ("detection_boxes", "detection_classes", "detection_scores", "num_detections"),
) -> None:
    """tf2onnx: four float tensors, filled up with anything, and how many of their rows are detections."""
    floats = net("Cast", labels, to=TensorProto.FLOAT)
    padded = ((boxes, [0.1, 0.2, 0.8, 0.9], [4]), (floats, 1.0, []), (scores, 0.9, []))
    for name, (tensor, padding, last) in zip(names, padded, strict=False):
        net.reshaped(filled(net, tensor, padding), 1, ROWS, *last, name=name)
        net.output(name, [1, rows, *last])
    size = net("Gather", net("Shape", scores), net.constant([0], np.int64))
    net("Cast", size, name=names[3], to=TensorProto.FLOAT)
    net.output(names[3], [1])


def mmdetection(net: Net, boxes: str, scores: str, labels: str, rows: str | int) -> None:
    """MMDeploy: a table of corners and score, and labels."""
    table = net("Concat", boxes, net.reshaped(scores, -1, 1), axis=1)
    net("Unsqueeze", table, net.constant([0], np.int64), name="dets")
    net("Unsqueeze", labels, net.constant([0], np.int64), name="labels")
    net.output("dets", [1, rows, 5])
    net.output("labels", [1, rows], TensorProto.INT64)


def paddle(net: Net, boxes: str, scores: str, labels: str, rows: str | int) -> None:
    """PaddleDetection: rows of label, score, corners, and their number."""
    floats = net("Cast", labels, to=TensorProto.FLOAT)
    net("Concat", net.reshaped(floats, -1, 1), net.reshaped(scores, -1, 1), boxes, name="rows", axis=1)
    net("Gather", net("Shape", scores), net.constant([0], np.int64), name="bbox_num")
    net.output("rows", [rows, 6])
    net.output("bbox_num", [1], TensorProto.INT64)


def unnamed(net: Net, *parts: str, rows: str | int) -> None:
    """tf2onnx's tensors with names that tell nothing."""
    tensorflow(net, *parts, rows=rows, names=("a", "b", "c", "d"))


SHOWN = (
    (TORCHVISION, torchvision),
    (RESIZED, torchvision),
    (MODEL_ZOO, model_zoo),
    (TENSORFLOW, tensorflow),
    (TENSORFLOW, unnamed),
    (MMDETECTION, mmdetection),
    (PADDLE, paddle),
)


def network(layout: Layout, show: Callable[..., None], rows: str | int = ROWS) -> onnx.ModelProto:
    """A network that shows a fixed number of rows, or as many as it finds if the number of rows has a name."""
    net, boxes, scores, labels = detections(layout)
    if rows == ROWS and show not in (tensorflow, unnamed):
        boxes, scores, labels = filled(net, boxes, [0.0] * 4), filled(net, scores, 0.0), filled(net, labels, 0)
    show(net, boxes, scores, labels, rows=rows)
    return net.model()


def reference(image: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
    """Class, score and corners of what the network finds, best first."""
    model = network(Layout(()), torchvision, "D")
    boxes, scores, labels = open_session(model).run(["boxes", "scores", "labels"], {"image": image[None]})
    found = zip((labels - 1).tolist(), scores.tolist(), boxes, strict=True)
    return sorted((row for row in found if row[1] >= SAME_THRESHOLD), key=lambda row: -row[1])


@pytest.mark.parametrize(
    ("layout", "show"), SHOWN, ids=[f"{show.__name__} {layout.image[0] or ''}" for layout, show in SHOWN]
)
def test_finds_what_the_network_finds(run_import, labels, layout, show):
    assert_finds_what_it_finds(run_import(network(layout, show), *labels("a", "b", "c"), *layout.flags), layout)


def test_a_table_of_a_varying_number_of_rows(run_import, labels):
    """One tensor with everything; its best rows are taken."""
    imported = run_import(network(PADDLE, paddle, "D"), *labels("a", "b", "c"), *PADDLE.flags)
    assert_finds_what_it_finds(imported, PADDLE)


def assert_finds_what_it_finds(imported: Imported, layout: Layout) -> None:
    card = imported.card
    assert (card.outputs.kind, card.outputs.box_order) == ("detections", layout.order)
    assert batch_size(load_network(card), card) == 1
    assert "NonMaxSuppression" in imported.said
    image = picture(64, 64)
    expected = reference(image)
    found = imported.detector(SAME_THRESHOLD).detect(image, "rgb")
    assert len(expected) > 5
    np.testing.assert_array_equal(found.class_ids, [row[0] for row in expected])
    np.testing.assert_allclose(found.scores, [row[1] for row in expected], atol=1e-5)
    np.testing.assert_allclose(found.boxes / 64, np.clip([row[2] for row in expected], 0, 1), atol=1e-4)


@pytest.mark.parametrize(
    ("layout", "show", "tensors"),
    [
        (TORCHVISION, torchvision, "boxes, scores, labels"),
        (MODEL_ZOO, model_zoo, "bboxes, scores, labels"),
        (TENSORFLOW, tensorflow, "detection_boxes, detection_scores, detection_classes, num_detections"),
        (MMDETECTION, mmdetection, "dets, labels"),
    ],
)
def test_tensors_of_a_varying_number_of_rows_are_refused(refused, labels, layout, show, tensors):
    error = refused(network(layout, show, "D"), *labels("a", "b", "c"), *layout.flags)
    assert f"ends in detections in {tensors}: found a varying number of rows, expected a fixed one" in error
    assert "with a fixed number of detections, or name the boxes and scores before its NMS with --boxes" in error


def test_tensors_that_may_both_be_labels_are_named(refused, labels):
    """As TensorFlow 2 shows the number of each box's anchor, too."""
    net, *parts = detections(TENSORFLOW)
    tensorflow(net, *parts, rows=ROWS)
    indices = net.constant(np.arange(ROWS)[None])
    net("Add", net("Mul", "detection_scores", net.constant(0.0)), indices, name="detection_anchor_indices")
    net.output("detection_anchor_indices", [1, ROWS])
    error = refused(net.model(), *labels("a", "b", "c"), *TENSORFLOW.flags)
    assert "can be read in 2 ways" in error
    for name in ("detection_classes", "detection_anchor_indices"):
        assert f"score detection_scores, label {name}" in error
    assert "with --boxes and --scores" in error


def test_numbers_that_may_both_be_the_count_are_named(refused, labels):
    net, *parts = detections(TENSORFLOW)
    tensorflow(net, *parts, rows=ROWS)
    net("Mul", "num_detections", net.constant(0.0), name="image_id")
    net.output("image_id", [1])
    error = refused(net.model(), *labels("a", "b", "c"), *TENSORFLOW.flags)
    assert "count num_detections; boxes" in error
    assert "count image_id" in error


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), "give --background first or none"),
        (("--background", "first"), "give --box-order xyxy or yxyx"),
        (("--box-order", "xyxy", "--background", "none"), "the network detects label 3 in the photo"),
    ],
)
def test_what_detections_do_not_tell_is_asked_for(refused, labels, flags, expected):
    names = ("a", "b", "c", "d") if "none" not in flags else ("a", "b", "c")
    assert expected in refused(network(MODEL_ZOO, model_zoo), *labels(*names), *flags)


def table(*rows: tuple[float, ...]) -> onnx.ModelProto:
    """A network that shows the same rows for every image."""
    net = Net()
    image = nchw(net, TINY, batch=1)
    net.channels[image] = 3
    zero = net("Mul", net("ReduceMean", net.convolved(image, len(rows[0])), axes=[0, 2, 3]), net.constant(0.0))
    net("Add", net.reshaped(zero, 1, -1), net.constant(rows), name="table")
    net.output("table", [len(rows), len(rows[0])])
    return net.model()


FLAGS = ("--family", "other", "--box-order", "xyxy", "--background", "none")


@pytest.mark.parametrize(
    "rows",
    [
        [(3, 10, 40, 50, 0.9, 1), (5, 12, 60, 52, 0.8, 2)],
        [(0.0, 0.2, 0.5, 0.8, 0.4, 1)],
        [(0.0, 0.2, 0.5, 0.8, 0.9, 1), (0.3, 0.2, 0.5, 0.8, 0.7, 2)],
    ],
    ids=["whole pixels", "at the border", "one at the border"],
)
def test_whole_numbers_of_a_corner_are_no_labels(run_import, labels, rows):
    imported = run_import(table(*rows), *labels("a", "b", "c"), *FLAGS)
    found = imported.detector(0.3).detect(picture(64, 64), "rgb")
    np.testing.assert_array_equal(found.class_ids, [row[5] for row in rows])
    np.testing.assert_allclose(found.scores, [row[4] for row in rows], atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [(0.0, 0.2, 0.5, 0.8, 0.9, 1)],
            "score column 1 of table, label column 0 of table; boxes column 0 of table",
        ),
        ([(0.5, 0.6, 0.2, 0.3, 0.9, 1), (0.4, 0.6, 0.3, 0.3, 0.9, 2)], "no pair of tensors"),
    ],
)
def test_rows_that_may_mean_two_things_or_nothing_are_refused(refused, labels, rows, expected):
    assert expected in refused(table(*rows), *labels("a", "b", "c"), *FLAGS)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
def test_boxes_that_nobody_suppressed_are_no_detections(refused, labels, kind):
    """The best class of each box; nothing in the network holds the scores of all classes."""
    net = Net()
    parts: list[list[str]] = [[], [], []]
    alike = np.repeat(PRIORS[::3], 3, axis=0)
    priors = iter(np.split(alike, [192]))
    for boxes, logits in head_levels(net, nchw(net, TINY, batch=1), TINY, 1.0, head_rows):
        scores = net("Softmax", logits, axis=2)
        parts[0].append(decoded(net, net("Mul", boxes, net.constant(0.1)), next(priors), name=f"{boxes}/corners"))
        parts[1].append(net("ReduceMax", scores, axes=[2], keepdims=0))
        parts[2].append(net("Cast", net("ArgMax", scores, axis=2, keepdims=0), to=kind))
    for name, part in zip(("boxes", "scores", "labels"), parts, strict=True):
        net("Concat", *part, name=name, axis=1)
    net.output("boxes", [1, TINY.count, 4])
    net.output("scores", [1, TINY.count])
    net.output("labels", [1, TINY.count], kind)
    assert "duplicate a better one of their class" in refused(net.model(), *labels("a", "b", "c", "d"), *FLAGS)


def test_a_network_is_looked_at_with_the_pixels_that_the_user_states(refused, run_import, labels):
    """It finds something in bright images only, and -1 to 1 is dark to what takes 0 to 255."""
    net = Net()
    weights = net.constant(np.full((1, 3, 8, 8), 1 / 192))
    mean = net("ReduceMean", net("Conv", nchw(net, TINY, batch=1), weights, strides=[8, 8]), axes=[1, 2, 3])
    score = net("Sigmoid", net("Sub", net.reshaped(mean, 1, 1), net.constant(20.0)))
    found = net("Mul", net("Cast", net("Greater", score, net.constant(0.5)), to=TensorProto.FLOAT), score)
    zero = net("Mul", found, net.constant(0.0))
    net("Add", zero, net.constant([[0.1, 0.2, 0.3, 0.4]]), name="boxes")
    net.reshaped(found, 1, name="scores")
    net("Cast", net.reshaped(zero, 1), name="labels", to=TensorProto.INT64)
    net.output("boxes", [1, 4])
    net.output("scores", [1])
    net.output("labels", [1], TensorProto.INT64)
    model = net.model()
    assert "--mean and --scale of its pixels" in refused(model, *labels("a", "b"), *FLAGS)
    imported = run_import(model, *labels("a", "b"), *FLAGS, "--mean", "0", "--scale", "1")
    assert "mean" not in imported.said.partition("assumed")[2]
    assert "1 in the photo: a 1.00" in imported.said
