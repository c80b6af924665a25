"""Nodes that do the whole of non-maximum suppression: what they read are the boxes and the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnx import NodeProto, helper

from trt_ssd_ros.core.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.model_import.ssd_heads import Heads, NotFoundError, Priors


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def from_plugin(graph: OnnxGraph) -> Heads | None:
    """Return the heads in front of a node that does the whole of NMS, as TensorRT's plugins and TFLite's do."""
    for node in reversed(graph.nodes):
        if node.op_type in PLUGINS:
            try:
                return PLUGINS[node.op_type](node)
            except IndexError as error:
                raise NotFoundError(f"{node.op_type} has {len(node.input)} inputs, expected more") from error
    return None


def _caffe(node: NodeProto) -> Heads:
    """NMS_TRT (plugin/nmsPlugin/README.md of TensorRT), in which Caffe's DetectionOutput lives on."""
    said = attributes(node)
    order = said.get("inputOrder", [0, 1, 2])
    loc, conf, prior = (node.input[index] for index in order)
    centre_size = 2 if node.op_type == "DetectionOutput" else 1  # Caffe counts from 1, TensorRT from 0
    if (
        said.get("shareLocation", 1) != 1
        or said.get("varianceEncodedInTarget", 0)
        or said.get("codeType", centre_size) != centre_size
    ):
        raise NotFoundError(f"{node.op_type} decodes boxes in a way that is not supported: {said}")
    facts = {
        "background": "none" if said.get("backgroundLabelId", 0) < 0 else "first",
        "score_conversion": "sigmoid" if said.get("confSigmoid") else "none",
        "iou_threshold": said.get("nmsThreshold"),
        "family": "tao_ssd",
    }
    return Heads(
        loc, conf, f"the inputs of {node.op_type} {node.name}", said.get("numClasses", 0),
        Priors(prior, "corners_and_variances"), facts,
    )  # fmt: skip


def _batched(node: NodeProto) -> Heads:
    """BatchedNMS_TRT (plugin/batchedNMSPlugin/README.md of TensorRT)."""
    said = attributes(node)
    facts = {
        "background": "first" if said.get("backgroundLabelId", -1) == 0 else "none",
        "score_conversion": "none",
        "iou_threshold": said.get("iouThreshold"),
        "decoded": True,
    }
    return Heads(node.input[0], node.input[1], f"the inputs of {node.op_type} {node.name}", 0, None, facts)


def _efficient(node: NodeProto) -> Heads:
    """EfficientNMS_TRT (plugin/efficientNMSPlugin/README.md of TensorRT), which may decode with anchors."""
    said = attributes(node)
    facts = {
        "background": "first" if said.get("background_class", -1) == 0 else "none",
        "score_conversion": "sigmoid" if said.get("score_activation") else "none",
        "iou_threshold": said.get("iou_threshold"),
    }
    why = f"the inputs of {node.op_type} {node.name}"
    if len(node.input) > 2 and said.get("box_coding", 0) == 1:
        priors = Priors(node.input[2], "yxhw", (1.0, 1.0, 1.0, 1.0))
        return Heads(node.input[0], node.input[1], why, 0, priors, facts)
    if len(node.input) > 2 or said.get("box_coding", 0) != 0:
        raise NotFoundError(
            f"{node.op_type} has {len(node.input)} inputs and box_coding {said.get('box_coding', 0)}, "
            "expected corners (0) without anchors, or centres and sizes (1) with anchors"
        )
    return Heads(node.input[0], node.input[1], why, 0, None, {**facts, "decoded": True})


def _tflite(node: NodeProto) -> Heads:
    """TFLite_Detection_PostProcess (tensorflow/lite/kernels/detection_postprocess.cc)."""
    said = attributes(node)
    scales = tuple(
        float(said.get(f"{letter}_scale", scale)) for letter, scale in zip("yxhw", (10, 10, 5, 5), strict=True)
    )
    facts = {
        "background": "first",
        "score_conversion": "none",
        "iou_threshold": said.get("nms_iou_threshold"),
        "family": "tf_object_detection_api",
    }
    priors = Priors(node.input[2], "yxhw", scales)  # type: ignore[arg-type]  # four of them
    return Heads(node.input[0], node.input[1], f"the inputs of {node.op_type} {node.name}", 0, priors, facts)


PLUGINS: Mapping[str, Callable[[NodeProto], Heads]] = {
    **dict.fromkeys(("NMS_TRT", "NMSDynamic_TRT", "NMS_OPT_TRT", "DetectionOutput"), _caffe),
    **dict.fromkeys(("BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "TRTBatchedNMS"), _batched),
    **dict.fromkeys(("EfficientNMS_TRT", "EfficientNMS_ONNX_TRT"), _efficient),
    "TFLite_Detection_PostProcess": _tflite,
}
