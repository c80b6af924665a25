"""import_model on networks of one image: the batch becomes dynamic if images do not affect each other."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from ssd_networks import PRIORS, TINY, Net, decoded, heads, nchw

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.network import batch_size, load_network


def one_image_network(net: Net, boxes: str, logits: str) -> onnx.ModelProto:
    """End a network in corners and scores that declare a batch of 1."""
    net("Softmax", logits, name="scores", axis=2)
    decoded(net, boxes, PRIORS, name="corners")
    net.output("corners", [1, TINY.count, 4])
    net.output("scores", [1, TINY.count, 4])
    return net.model()


def plain(net: Net) -> onnx.ModelProto:
    """Any batch runs once its input is declared to be one."""
    return one_image_network(net, *heads(net, nchw(net, TINY, batch=1), TINY, names=("raw", "logits")))


def with_fixed_reshapes(net: Net) -> onnx.ModelProto:
    """Reshaped to [1, A, 4] and [1, -1, 4], as tf2onnx converts TFLite models; weights are reshaped as well."""
    gain = net.reshaped(net.constant(np.ones(3)), 1, 3, 1, 1)
    boxes, logits = heads(net, net("Mul", nchw(net, TINY, batch=1), gain), TINY, names=("a", "b"))
    return one_image_network(net, net.reshaped(boxes, 1, TINY.count, 4), net.reshaped(logits, 1, -1, 4))


def of_the_whole_batch(net: Net) -> onnx.ModelProto:
    """Scores are relative to the best one of all images."""
    boxes, logits = heads(net, nchw(net, TINY, batch=1), TINY, names=("raw", "logits"))
    return one_image_network(net, boxes, net("Div", logits, net("ReduceMax", logits, axes=[0, 1, 2], keepdims=1)))


def flattened(net: Net) -> onnx.ModelProto:
    """Reshaped to rows of all images, and split by a constant number of rows."""
    boxes, logits = heads(net, nchw(net, TINY, batch=1), TINY, names=("raw", "logits"))
    rows = net.reshaped(boxes, -1, 4)
    first = net("Slice", rows, *(net.constant([n], np.int64) for n in (0, TINY.count, 0)))
    return one_image_network(net, net.reshaped(first, 1, TINY.count, 4), logits)


FLAGS = ("--family", "other", "--box-order", "xyxy")


@pytest.mark.parametrize("build", [plain, with_fixed_reshapes])
def test_a_batch_of_1_becomes_dynamic(run_import, labels, build):
    model = build(Net())
    imported = run_import(model, *labels("a", "b", "c"), *FLAGS)
    assert "the batch of 1 becomes dynamic, as two images at once give what each gives alone" in imported.said
    written = load_network(imported.card)
    assert (imported.card.onnx.path.name, batch_size(written, imported.card)) == ("net.ssd.onnx", "N")
    images = np.random.default_rng(1).uniform(-1, 1, (3, 3, 64, 64)).astype(np.float32)
    together = open_session(written).run(None, {"image": images})
    alone = [open_session(model).run(["corners", "scores"], {"image": image[None]}) for image in images]
    names = [item.name for item in written.graph.output]
    for name, value in zip(names, together, strict=True):
        index = ["corners", "scores"].index(name)
        np.testing.assert_allclose(value, np.concatenate([each[index] for each in alone]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("build", [of_the_whole_batch, flattened])
def test_images_that_affect_each_other_stay_a_batch_of_1(run_import, labels, build):
    imported = run_import(build(Net()), *labels("a", "b", "c"), *FLAGS)
    assert "batch     1, as two images at once do not give what each gives alone" in imported.said
    assert (imported.card.onnx.path.name, batch_size(load_network(imported.card), imported.card)) == (
        "net.onnx",
        1,
    )


def test_a_dynamic_batch_is_not_mentioned(run_import, labels):
    net = Net()
    boxes, logits = heads(net, nchw(net, TINY), TINY, names=("raw", "logits"))
    model = one_image_network(net, boxes, logits)
    for item in model.graph.output:
        item.type.tensor_type.shape.dim[0].dim_param = "N"
    imported = run_import(model, *labels("a", "b", "c"), *FLAGS)
    assert "  batch  " not in imported.said
    assert "changed" not in imported.said
    assert imported.card.onnx.path.name == "net.onnx"
