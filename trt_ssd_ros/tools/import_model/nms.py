"""Nodes that do the whole of non-maximum suppression: what they read are the boxes and the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnx import NodeProto, helper

from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.heads import Heads, NotFoundError, Priors


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


CENTER_SIZE, TF_CENTER = 1, 3


def _caffe(node: NodeProto) -> Heads:
    """NMS_TRT (plugin/nmsPlugin of TensorRT: README.md, decodeBBoxes.cu), in which DetectionOutput lives on."""
    said = attributes(node)
    order = said.get("inputOrder", [0, 1, 2])
    loc, conf, prior = (node.input[index] for index in order)
    code = said.get("codeType", CENTER_SIZE)
    if node.op_type == "DetectionOutput":  # Caffe counts from 1, TensorRT from 0
        code = said.get("codeType", CENTER_SIZE + 1) - 1
    if said.get("shareLocation", 1) != 1 or code not in (CENTER_SIZE, TF_CENTER):
        raise NotFoundError(f"{node.op_type} decodes boxes in a way that is not supported: {said}")
    facts: dict[str, Any] = {
        **_background(said.get("backgroundLabelId", 0), said.get("numClasses", 0), node),
        "score_conversion": "sigmoid" if said.get("confSigmoid") else "none",
        "iou_threshold": said.get("nmsThreshold"),
    }
    if code == TF_CENTER:
        facts["family"] = "tf_object_detection_api"
    elif node.op_type == "NMSDynamic_TRT":  # of TAO's exporter only
        facts["family"] = "tao_ssd"
    elif node.op_type == "DetectionOutput":
        facts["families"] = ["caffe_ssd_voc", "caffe_ssd_coco", "other"]
    scaled = bool(said.get("varianceEncodedInTarget", 0)) and code != TF_CENTER
    priors = Priors(
        prior, "corners", (1.0, 1.0, 1.0, 1.0) if scaled else None, "yxhw" if code == TF_CENTER else "xywh"
    )
    why = f"the inputs of {node.op_type} {node.name}"
    return Heads(loc, conf, why, said.get("numClasses", 0), priors, facts)


def _background(column: int, columns: int, node: NodeProto) -> dict[str, str]:
    """Return which column is no class, as a node counts them: -1 for none."""
    if column < 0:
        return {"background": "none"}
    if column == 0:
        return {"background": "first"}
    if columns and column == columns - 1:
        return {"background": "last"}
    raise NotFoundError(
        f"{node.op_type} has background {column}, expected the first column of scores, 0, or none, -1"
    )


def _batched(node: NodeProto) -> Heads:
    """BatchedNMS_TRT (plugin/batchedNMSPlugin/README.md of TensorRT)."""
    said = attributes(node)
    facts = {
        **_background(said.get("backgroundLabelId", -1), said.get("numClasses", 0), node),
        "score_conversion": "none",
        "iou_threshold": said.get("iouThreshold"),
        "decoded": True,
    }
    return Heads(node.input[0], node.input[1], f"the inputs of {node.op_type} {node.name}", 0, None, facts)


def _efficient(node: NodeProto) -> Heads:
    """EfficientNMS_TRT (plugin/efficientNMSPlugin/README.md of TensorRT), which may decode with anchors."""
    said = attributes(node)
    facts = {
        **_background(said.get("background_class", -1), 0, node),
        "score_conversion": "sigmoid" if said.get("score_activation") else "none",
        "iou_threshold": said.get("iou_threshold"),
    }
    why = f"the inputs of {node.op_type} {node.name}"
    if len(node.input) > 2 and said.get("box_coding", 0) == 1:
        priors = Priors(node.input[2], "yxhw", (1.0, 1.0, 1.0, 1.0), "yxhw")
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
        "score_conversion": "none",
        "iou_threshold": said.get("nms_iou_threshold"),
        "family": "tf_object_detection_api",
        **({"classes": said["num_classes"]} if "num_classes" in said else {"background": "first"}),
    }
    priors = Priors(node.input[2], "yxhw", scales, "yxhw")  # type: ignore[arg-type]  # four of them
    return Heads(node.input[0], node.input[1], f"the inputs of {node.op_type} {node.name}", 0, priors, facts)


PLUGINS: Mapping[str, Callable[[NodeProto], Heads]] = {
    **dict.fromkeys(("NMS_TRT", "NMSDynamic_TRT", "NMS_OPT_TRT", "DetectionOutput"), _caffe),
    **dict.fromkeys(("BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "TRTBatchedNMS"), _batched),
    **dict.fromkeys(("EfficientNMS_TRT", "EfficientNMS_ONNX_TRT"), _efficient),
    "TFLite_Detection_PostProcess": _tflite,
}
