"""Network in int8: QuantizeLinear and DequantizeLinear around all convolutions but the last."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnx import TensorProto

from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.images.source import SourceError
from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.network import as_graph_opset, input_type, is_quantized
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.quantize_model.calibration import CalibrationReader


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


def in_int8(network: onnx.ModelProto, reader: CalibrationReader, backend: str) -> onnx.ModelProto:
    """Return a quantized copy of a network.

    The last convolutions, which make boxes and scores, and whatever follows them stay as they are: 256 steps are
    too few for boxes. Ranges are the least and the greatest activations seen.

    Args:
        network: In float32.
        reader: What its activations are measured with.
        backend: Whose arithmetic it is for; see `_for_onnxruntime` and `_for_tensorrt`.

    Raises:
        SourceError: There are no images.
        RuntimeError: ONNX Runtime is not installed, or cannot quantize the network.
        ValueError: There is nothing to quantize in the network.
    """
    ort = load_library("onnxruntime.quantization", "onnxruntime", "quantize_model")
    with TemporaryDirectory(prefix="quantize_model-") as place:
        source, target = Path(place) / "float.onnx", Path(place) / "int8.onnx"
        try:
            prepared = _prepared(network, source)
            ort.quantize_static(
                source,
                target,
                reader,
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                weight_type=ort.QuantType.QInt8,
                nodes_to_exclude=_names_behind_the_features(prepared),
                **(_for_tensorrt(ort) if backend == "tensorrt" else _for_onnxruntime(ort)),
            )
        except SourceError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise RuntimeError(f"ONNX Runtime cannot quantize this network: {one_line(error)}") from error
        quantized = onnx.load(target)
    if not is_quantized(quantized):
        raise ModelCardError("onnx", "no convolution but those of the heads", "others, to quantize")
    return quantized


def _for_onnxruntime(ort: Any) -> dict[str, Any]:
    """Ask for activations in uint8 and weights of 7 bits: x86 processors without VNNI overflow with 8.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
    """
    return {"activation_type": ort.QuantType.QUInt8, "reduce_range": True}


def _for_tensorrt(ort: Any) -> dict[str, Any]:
    """Ask for int8 around 0 at inputs of convolutions only, so that these fuse with what follows; float biases.

    Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-with-quantized-types.html.
    """
    options = {
        "ActivationSymmetric": True,
        "QuantizeBias": False,
        "OpTypesToExcludeOutputQuantization": ["Conv"],
    }
    return {"activation_type": ort.QuantType.QInt8, "op_types_to_quantize": ["Conv"], "extra_options": options}


def _prepared(network: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Write and return a network with batch normalisation folded into convolutions, and a name for each node."""
    shapes = load_library("onnxruntime.quantization.shape_inference", "onnxruntime", "quantize_model")
    onnx.save(as_graph_opset(network), path)
    shapes.quant_pre_process(path, path, skip_symbolic_shape=True)
    prepared = onnx.load(path)
    for index, node in enumerate(prepared.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(prepared, path)
    return prepared


def _names_behind_the_features(network: onnx.ModelProto) -> list[str]:
    """Return the nodes that lead to no other convolution."""
    graph = OnnxGraph(network)
    features = graph.before(name for node in graph.nodes if node.op_type == "Conv" for name in node.input)
    return [node.name for index, node in enumerate(graph.nodes) if index not in features]
