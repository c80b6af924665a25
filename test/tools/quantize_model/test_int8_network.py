"""What ONNX Runtime's quantizer makes of networks, for ONNX Runtime and for TensorRT."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from import_runs import Imported
from onnx import TensorProto, numpy_helper
from ssd_networks import TINY, Net, decoded_network, nchw
from table_network import table_card, table_network

from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.images.source import SourceImage
from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import is_quantized, load_network
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.quantize_model.calibration import CalibrationReader
from trt_ssd_ros.tools.quantize_model.int8_network import in_int8

ROUNDED = {"onnxruntime": {TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32}, "tensorrt": {TensorProto.INT8}}


def quantized(card: ModelCard, backend: str, images: list[SourceImage]) -> onnx.ModelProto:
    network = load_network(card)
    return in_int8(network, CalibrationReader(network, card, images), backend)


@pytest.fixture(scope="module")
def images(photo: Callable[..., np.ndarray]) -> list[SourceImage]:
    return [SourceImage(number, "", photo(name)) for number, name in enumerate(("astronaut", "chelsea", "coffee"))]


@pytest.fixture(scope="module", params=["onnxruntime", "tensorrt"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def int8(tiny_card: ModelCard, backend: str, images: list[SourceImage]) -> onnx.ModelProto:
    return quantized(tiny_card, backend, images)


def convolutions(network: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """The outputs of those that compute with rounded numbers, and of those that do not."""
    graph = OnnxGraph(network)
    rounded, others = [], []
    for node in graph.nodes:
        if node.op_type == "Conv":
            makers = {getattr(graph.producer(name), "op_type", "") for name in node.input[:2]}
            (rounded if makers == {"DequantizeLinear"} else others).append(node.output[0])
    return rounded, others


def test_all_convolutions_but_those_of_the_heads_are_rounded(int8):
    rounded, others = convolutions(int8)
    assert (len(rounded), len(others)) == (2, 4)


def test_each_backend_gets_the_whole_numbers_that_it_takes(int8, backend):
    rounding = [node for node in int8.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zeros = {node.input[2] for node in rounding}
    tensors = [tensor for tensor in int8.graph.initializer if tensor.name in zeros]
    assert {tensor.data_type for tensor in tensors} == ROUNDED[backend]
    if backend == "tensorrt":
        assert not any(numpy_helper.to_array(tensor).any() for tensor in tensors)


def test_weights_have_a_scale_for_each_channel_and_7_bits_where_processors_overflow(int8, backend):
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in int8.graph.initializer}
    weights = [(stored[n.input[0]], stored[n.input[1]]) for n in int8.graph.node if n.input[0] in stored]
    kernels = [(numbers, scales) for numbers, scales in weights if numbers.ndim == 4]
    assert len(kernels) == 2
    assert all(scales.shape == numbers.shape[:1] for numbers, scales in kernels)
    most = max(abs(numbers.astype(int)).max() for numbers, _ in kernels)
    assert 60 < most <= 64 if backend == "onnxruntime" else 120 < most <= 127


def test_for_tensorrt_only_what_convolutions_read_is_rounded(tiny_card, images):
    """So that it can fuse a convolution with the Clip or the Add that follows it."""
    graph = OnnxGraph(quantized(tiny_card, "tensorrt", images))
    results = [name for node in graph.nodes if node.op_type == "DequantizeLinear" for name in node.output]
    readers = [{graph.nodes[index].op_type for index in graph.consumers[name]} for name in results]
    assert all("Conv" in kinds and kinds <= {"Conv", "Add"} for kinds in readers)


def test_a_network_that_decodes_its_boxes_decodes_them_in_float(tiny_card, images):
    network = quantized(tiny_card, "onnxruntime", images)
    graph = OnnxGraph(network)
    (exponent,) = [node for node in graph.nodes if node.op_type == "Exp"]
    kinds = {graph.nodes[index].op_type for index in graph.after(exponent.output)}
    assert is_quantized(network)
    assert "Concat" in kinds
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


def test_batch_normalisation_is_folded_into_the_convolutions(run_import, labels, images):
    net = Net()
    image = nchw(net, TINY)
    net.channels[image] = 3
    first = net.convolved(image, 3, size=1)
    ones, nothing = net.constant(np.full(3, 2.0)), net.constant(np.zeros(3))
    normal = net("BatchNormalization", first, ones, nothing, nothing, ones)
    imported = run_import(decoded_network(net, normal), *labels("a", "b", "c"), "--family", "other")
    network = quantized(imported.card, "onnxruntime", images)
    assert "BatchNormalization" not in {node.op_type for node in network.graph.node}


def mobile_card(
    run_import: Callable[..., Imported], label_flags: list[str], before: int, each: int = 1
) -> ModelCard:
    """The card of a network with some convolutions, a depthwise one, one more, and those of the tiny network.

    With several outputs of `each` input channel, the convolution is not depthwise, but a grouped one.
    """
    net = Net()
    tensor = nchw(net, TINY)
    for kind in (*["full"] * before, "depthwise", "full"):
        net.channels.setdefault(tensor, 3)
        if kind == "depthwise":
            # channels of different size, which need a scale each
            weights = np.repeat([0.01, 1.0, 20.0], each).reshape(-1, 1, 1, 1)
            tensor = net("Conv", tensor, net.constant(weights), net.constant(np.zeros(3 * each)), group=3)
            net.channels[tensor] = 3 * each
        else:
            tensor = net.convolved(tensor, 3)
    return run_import(decoded_network(net, tensor), *label_flags, "--family", "other").card


@pytest.mark.parametrize(("before", "in_float"), [(1, 3), (2, 0)])
def test_the_first_convolutions_stay_float_up_to_the_one_after_a_depthwise_one(
    run_import, labels, images, before, in_float
):
    """With more than three, the depthwise one is no part of a MobileNet's first block."""
    card = mobile_card(run_import, labels("a", "b", "c"), before)
    rounded, others = convolutions(quantized(card, "onnxruntime", images))
    assert (len(rounded), len(others)) == (2 + before + 2 - in_float, 4 + in_float)


@pytest.mark.parametrize(("each", "most"), [(1, 127), (2, 64)])
def test_weights_of_depthwise_convolutions_have_8_bits_on_every_processor(run_import, labels, images, each, most):
    """Only these: ONNX Runtime computes other grouped convolutions as matrix products, which overflow."""
    network = quantized(mobile_card(run_import, labels("a", "b", "c"), 2, each), "onnxruntime", images)
    kernels = [numpy_helper.to_array(tensor) for tensor in network.graph.initializer if len(tensor.dims) == 4]
    largest = {kernel.shape: abs(kernel.astype(int)).max() for kernel in kernels if kernel.dtype == np.int8}
    assert largest.pop((3 * each, 1, 1, 1)) == most
    assert largest
    assert all(number <= 64 for number in largest.values())


@pytest.mark.filterwarnings("ignore:invalid value")  # of NumPy, in what ONNX Runtime does with it
def test_a_network_without_anything_to_quantize_is_refused(images):
    network, card = table_network(), table_card()
    with pytest.raises(ModelCardError, match="found no convolution outside the heads, expected one or more"):
        in_int8(network, CalibrationReader(network, card, images), "onnxruntime")


def activation_scales(model: onnx.ModelProto) -> dict[str, float]:
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return {name: numpy_helper.to_array(stored[name]).item() for name in names}


def test_every_image_counts(tiny_card, images):
    """With `CalibMaxIntermediateOutputs` ONNX Runtime 1.31 forgets all but the last few."""
    black = SourceImage(1, "", np.zeros((9, 9, 3), np.uint8))
    first, every = (
        activation_scales(quantized(tiny_card, "tensorrt", some))
        for some in (images[:1], [images[0], *[black] * 19])
    )
    assert every.keys() == first.keys()
    assert all(scale >= 0.999 * first[name] for name, scale in every.items())


def test_both_channel_orders_give_the_network_the_same(card, network, photo):
    bgr = photo("coffee")
    images = [SourceImage(0, "", bgr), SourceImage(1, "", bgr[..., ::-1], "rgb")]
    first, second = iter(CalibrationReader(network, card, images).get_next, None)
    np.testing.assert_array_equal(first[card.input.tensor], second[card.input.tensor])


def in_rtx_refusal(content: bytes) -> str:
    """What TensorRT for RTX says of a graph; called in its process."""
    with pytest.raises(RuntimeError) as refusal:
        build_plan(onnx.load_from_string(content), load_tensorrt(), BuildOptions(compute_capability="8.9"))
    return str(refusal.value)


def test_tensorrt_for_rtx_has_no_int8_convolutions_and_says_so(tiny_card, int8, backend, in_rtx):
    """When a later one has them, docs/engines.md is to say so."""
    said = in_rtx(in_rtx_refusal, compose(int8, tiny_card).SerializeToString())
    assert " of a quantized network (backend onnxruntime runs it): " in said
    reason = "input has type Int32" if backend == "onnxruntime" else "CHECK(dtype == myelinTypeFloat"
    assert reason in said
