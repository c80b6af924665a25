from __future__ import annotations

import sys

import onnx
import pytest
from onnx import TensorProto

from trt_ssd_ros.detection.agreement import HALF, disagreements
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


@pytest.fixture(scope="module")
def half(network: onnx.ModelProto) -> onnx.ModelProto:
    return in_half_precision(network)


@pytest.fixture(scope="module")
def half_graph(half: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    return compose(half, card)


@pytest.fixture(scope="module")
def half_detector(half_graph: onnx.ModelProto, card: ModelCard) -> Detector:
    return Detector(OnnxRuntimeEngine(half_graph), card)


def floats(model: onnx.ModelProto) -> dict[str, int]:
    """The types of all weights and of all tensors between nodes, floating ones only."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    types |= {tensor.name: tensor.type.tensor_type.elem_type for tensor in graph.value_info}
    return {name: kind for name, kind in types.items() if kind in FLOATS}


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("size", [(), (641, 479), (1280, 720)])
def test_finds_what_the_network_finds(half_detector, detector, photo, name, size):
    image = photo(name, *size)
    expected = detector.detect(image)
    assert len(expected) > 0
    threshold = detector.thresholds.classes[0]
    assert disagreements(half_detector.detect(image), expected, HALF, threshold, max(image.shape[:2])) == []


def test_the_network_is_in_half_precision_throughout(half_graph):
    types = {kind for name, kind in floats(half_graph).items() if name.startswith("network/")}
    assert types == {TensorProto.FLOAT16}


def test_around_it_only_what_goes_into_the_network_is_in_half_precision(half_graph):
    around = {name: kind for name, kind in floats(half_graph).items() if not name.startswith("network/")}
    (half_image,) = [name for name, kind in around.items() if kind != TensorProto.FLOAT]
    assert [node.op_type for node in half_graph.graph.node if half_image in node.output] == ["Cast"]
    readers = [node for node in half_graph.graph.node if half_image in node.input]
    assert all(node.output[0].startswith("network/") for node in readers)


def test_inputs_and_outputs_of_the_network_are_float16(half):
    tensors = [*half.graph.input, *half.graph.output]
    assert {tensor.type.tensor_type.elem_type for tensor in tensors} == {TensorProto.FLOAT16}


def test_inputs_and_outputs_of_the_graph_are_what_they_were(half_graph, shipped_graph):
    assert half_graph.graph.input == shipped_graph.graph.input
    assert half_graph.graph.output == shipped_graph.graph.output


def test_a_quantized_network_is_refused(quantized):
    with pytest.raises(ValueError, match="fp16 for a network that is quantized to int8, expected auto or fp32"):
        in_half_precision(quantized)


def test_the_network_itself_is_left_as_it_was(network, half):
    assert half is not network
    assert set(floats(network).values()) == {TensorProto.FLOAT}


def test_the_same_network_gives_the_same_half(network, half):
    """Its graph's digest is part of the plan's key."""
    again = in_half_precision(network)
    assert again.SerializeToString(deterministic=True) == half.SerializeToString(deterministic=True)


def test_without_onnxruntime_it_says_how_to_install_it(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeError, match="pip install onnxruntime"):
        in_half_precision(network)
