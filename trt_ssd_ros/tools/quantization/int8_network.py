"""A network in int8: its convolutions, all but the last, with QuantizeLinear and DequantizeLinear around them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import TensorProto

from trt_ssd_ros.core.card_reader import ModelCardError
from trt_ssd_ros.core.image_source import SourceError
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import as_graph_opset, input_type, is_quantized
from trt_ssd_ros.core.one_line import one_line
from trt_ssd_ros.core.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.optional_library import load_library
from trt_ssd_ros.tools.quantization.calibration import Calibration

ACTIVATIONS_HELD = 16
"""Images whose activations are held at once while their ranges are measured."""


def expect_float32(network: onnx.ModelProto, card: ModelCard) -> None:
    """Require a network that can be quantized.

    Raises:
        ModelCardError: It is quantized already, or in half precision.
    """
    if is_quantized(network):
        raise ModelCardError("onnx", "a network that is quantized already", "the one that it was made of")
    kind = input_type(network, card)
    if kind != TensorProto.FLOAT:
        raise ModelCardError("onnx", onnx.helper.tensor_dtype_to_string(kind), "a network in TensorProto.FLOAT")


def in_int8(network: onnx.ModelProto, calibration: Calibration, backend: str) -> onnx.ModelProto:
    """Return a quantized copy of a network.

    The last convolutions, which make boxes and scores, and whatever follows them stay as they are: 256 steps are
    too few for boxes. Ranges are the least and the greatest activations seen.

    Args:
        network: In float32.
        calibration: What its activations are measured with.
        backend: Whose arithmetic it is for. `onnxruntime`: activations in uint8, weights of 7 bits, because x86
            processors without VNNI overflow with 8
            (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
            `tensorrt`: both in int8 around 0, biases in float32
            (https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-with-quantized-types.html).

    Raises:
        SourceError: There are no images.
        RuntimeError: ONNX Runtime is not installed, or cannot quantize the network.
    """
    ort = load_library("onnxruntime.quantization", "onnxruntime", "quantize_model")
    for_tensorrt = backend == "tensorrt"
    with TemporaryDirectory(prefix="quantize_model-") as place:
        source, target = Path(place) / "float.onnx", Path(place) / "int8.onnx"
        try:
            _prepare(network, source)
            ort.quantize_static(
                source,
                target,
                calibration,
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=not for_tensorrt,
                activation_type=ort.QuantType.QInt8 if for_tensorrt else ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                nodes_to_exclude=_names_behind_the_features(onnx.load(source)),
                extra_options={
                    "ActivationSymmetric": for_tensorrt,
                    "QuantizeBias": not for_tensorrt,
                    "CalibMaxIntermediateOutputs": ACTIVATIONS_HELD,
                },
            )
        except SourceError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise RuntimeError(f"ONNX Runtime cannot quantize this network: {one_line(error)}") from error
        return onnx.load(target)


def _prepare(network: onnx.ModelProto, path: Path) -> None:
    """Write a network with batch normalisation folded into its convolutions, and a name for each node."""
    shapes = load_library("onnxruntime.quantization.shape_inference", "onnxruntime", "quantize_model")
    onnx.save(as_graph_opset(network), path)
    shapes.quant_pre_process(path, path, skip_symbolic_shape=True)
    prepared = onnx.load(path)
    for index, node in enumerate(prepared.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(prepared, path)


def _names_behind_the_features(network: onnx.ModelProto) -> list[str]:
    """Return the nodes that lead to no other convolution."""
    graph = OnnxGraph(network)
    features = graph.before(name for node in graph.nodes if node.op_type == "Conv" for name in node.input)
    return [node.name for index, node in enumerate(graph.nodes) if index not in features]
