"""Networks that are no SSD: they are named, and SSDs are not taken for them."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from trt_ssd_ros.tools.import_model.other_networks import expect_ssd


def network(
    outputs: dict[str, list[int | str]], side: int | str = 640, channels_last: bool = False, **metadata: str
) -> onnx.ModelProto:
    """A network with outputs of these shapes, as far as its file states them."""
    shape = [1, side, side, 3] if channels_last else [1, 3, side, side]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in outputs.items()]
    nodes = [helper.make_node("Relu", ["images"], [name]) for name in outputs]
    model = helper.make_model(helper.make_graph(nodes, "net", [image], results))
    helper.set_model_props(model, metadata)
    return model


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (network({"output0": [1, 84, 8400]}), "looks like YOLO: output output0: FLOAT [1, 84, 8400]"),
        (network({"output": [1, 25200, 85]}, channels_last=True), "looks like YOLO: output output: FLOAT"),
        (network({"output": ["batch", 6300, 7]}, 320), "looks like YOLO"),
        (network({"output": [1, 84, 8400]}, "side"), "looks like YOLO"),
        (network({"a": [1, 3, 80, 80, 85], "b": [1, 3, 40, 40, 85]}), "3 boxes with their class scores in each"),
        (network({"output0": [1, 84, 8401]}, author="Ultralytics"), "its metadata say 'author: Ultralytics'"),
        (network({"pred_logits": [1, 100, 92], "pred_boxes": [1, 100, 4]}), "looks like DETR: pred_logits"),
    ],
)
def test_it_is_named_with_the_evidence(model, named, refused):
    error = refused(model)
    assert named in error
    assert "this package runs SSDs" in error


@pytest.mark.parametrize(
    "model",
    [
        network({"boxes": [1, 8400, 4], "scores": [1, 8400, 91]}),
        network({"boxes": [1, 8732, 4], "scores": [1, 8732, 21]}, 300),
        network({"detections": [1, 300, 6]}, author="Ultralytics"),
        network({"rows": [1, 1, 100, 7]}, 300),
    ],
)
def test_an_ssd_and_final_detections_are_not(model):
    expect_ssd(model)


def test_shipped_networks_are_not(repository):
    for path in (repository / "engines").glob("*.onnx"):
        expect_ssd(onnx.load(path))


def test_the_user_has_the_last_word(refused):
    error = refused(network({"output0": [1, 84, 8400]}), "--boxes", "output0", "--scores", "none")
    assert "YOLO" not in error
