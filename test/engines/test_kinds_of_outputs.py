"""Networks that decode their boxes, and networks that end in their own NMS, in half precision and as plans."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import (
    DecodedBoxes,
    Defaults,
    FinalDetections,
    ModelCard,
    NetworkInput,
    NetworkOutputs,
    OnnxFile,
)
from trt_ssd_ros.models.graph import compose

AHEAD = partial(BuildOptions, compute_capability="8.0")
CELLS = 16

# A convolution of each 8 x 8 pixels, then the decoding of 256 boxes around the cells' own places.
NETWORK = f"""<ir_version: 8, opset_import: ["": 17]>
    net (float[N, 3, {CELLS * 8}, {CELLS * 8}] image) => (OUTPUTS)
    <int64[3] table = {{0, 7, -1}}, float tiny = {{0.05}},
     int64[4] parts = {{2, 2, 2, 1}}, int64[4] shape = {{0, 1, {CELLS**2}, 7}},
     float zero = {{0}}, int64[2] ones = {{1, 1}}> {{
        head = Conv<strides = [8, 8]>(image, weights)
        planes = Reshape(head, table)
        rows = Transpose<perm = [0, 2, 1]>(planes)
        offset, log_size, logits, other = Split<axis = 2>(rows, parts)
        moved = Mul(offset, tiny)
        centre = Add(moved, places)
        size = Exp(log_size)
        half = Mul(size, tiny)
        low = Sub(centre, half)
        high = Add(centre, half)
        boxes = Concat<axis = 2>(low, high)
        scores = Softmax<axis = 2>(logits)
        first, second = Split<axis = 2>(scores, ones)
        image_id = Mul(first, zero)
        label = Round(first)
        seven = Concat<axis = 2>(image_id, label, second, boxes)
        NMS = Reshape(seven, shape)
    }}"""


def network_with(outputs: str) -> onnx.ModelProto:
    network = onnx.parser.parse_model(NETWORK.replace("OUTPUTS", outputs))
    weights = np.random.default_rng(0).standard_normal((7, 3, 8, 8)).astype(np.float32) * 0.15
    grid = np.mgrid[:CELLS, :CELLS][::-1].reshape(2, -1).T[None]
    places = ((grid + 0.5) / CELLS).astype(np.float32)
    for name, value in (("weights", weights), ("places", places)):
        network.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.checker.check_model(network, full_check=True)
    return network


def card_of(outputs: NetworkOutputs) -> ModelCard:
    side = CELLS * 8
    image = NetworkInput("image", "NCHW", side, side, "rgb", (127.5,) * 3, (1 / 127.5,) * 3)
    names = {"name": "kinds", "family": "test", "licence": "none", "source": "test"}
    return ModelCard(
        **names,
        onnx=OnnxFile(Path("net.onnx"), ""),
        input=image,
        outputs=outputs,
        labels=("a",),
        defaults=Defaults(0.3, 0.5),
    )


KINDS = {
    "decoded_boxes": (
        f"float[N, {CELLS**2}, 4] boxes, float[N, {CELLS**2}, 2] scores",
        DecodedBoxes("decoded_boxes", "boxes", "scores", "xyxy", "none", "first"),
    ),
    "detections": (f"float[N, 1, {CELLS**2}, 7] NMS", FinalDetections("detections", "NMS", "none")),
}


def graph_of(kind: str, precision: str) -> onnx.ModelProto:
    outputs, described = KINDS[kind]
    network = network_with(outputs)
    return compose(in_half_precision(network) if precision == "fp16" else network, card_of(described))


@pytest.mark.parametrize("kind", KINDS)
def test_in_half_precision_boxes_are_decoded_in_single(kind):
    """Where convolutions are exact in float16 nothing is off: an image of one grey, weights of few bits."""
    outputs, described = KINDS[kind]
    network = network_with(outputs)
    weights = next(item for item in network.graph.initializer if item.name == "weights")
    coarse = np.round(onnx.numpy_helper.to_array(weights) * 8) / 64
    weights.CopyFrom(onnx.numpy_helper.from_array(coarse, "weights"))
    card = replace(
        card_of(described), input=replace(card_of(described).input, mean=(0, 0, 0), scale=(1 / 128,) * 3)
    )
    image = np.full((CELLS * 8, CELLS * 8, 3), 128, np.uint8)
    half, single = (open_onnxruntime(card, model).detect(image) for model in (in_half_precision(network), network))
    assert len(single) > 5
    np.testing.assert_allclose(half.boxes, single.boxes, atol=1e-4)
    np.testing.assert_allclose(half.scores, single.scores, atol=1e-6)


def test_only_what_follows_the_convolutions_is_in_single_precision():
    half = onnx.shape_inference.infer_shapes(in_half_precision(network_with(KINDS["decoded_boxes"][0])))
    types = {item.name: item.type.tensor_type.elem_type for item in half.graph.value_info}
    assert (types["head"], types["centre"], types["size"]) == (TensorProto.FLOAT16, *[TensorProto.FLOAT] * 2)
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert {item.type.tensor_type.elem_type for item in half.graph.output} == {TensorProto.FLOAT}


def in_rtx_build(kind: str, precision: str) -> int:
    plan = build_plan(graph_of(kind, precision), load_tensorrt(), AHEAD())
    return len(memoryview(plan))


@pytest.mark.parametrize(("kind", "precision"), [("decoded_boxes", "fp16"), ("detections", "fp32")])
def test_tensorrt_builds_a_plan(in_rtx, kind, precision):
    assert in_rtx(in_rtx_build, kind, precision) > 10_000
