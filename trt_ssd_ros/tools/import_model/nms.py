"""Non-maximum suppression in a network: plugins of TensorRT, Caffe and TFLite, and ONNX's own operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.heads import (
    LEAST_BOXES,
    Heads,
    NotFoundError,
    Priors,
    Shapes,
    box_count,
    usable,
)


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


IOU_THRESHOLD = 3
"""Index among the inputs of NonMaxSuppression."""


def from_onnx_nms(graph: OnnxGraph, shapes: Shapes) -> Heads | None:
    """Return what ONNX's NonMaxSuppression reads, if that is all boxes and all scores."""
    for node in graph.nodes:
        if node.op_type == "NonMaxSuppression":
            boxes, scores = node.input[:2]
            whole = box_count(shapes.get(boxes, ())) >= LEAST_BOXES and usable(graph, (boxes, scores))
            if whole and not any(item.name == "center_point_box" and item.i for item in node.attribute):
                return Heads(boxes, scores, "the inputs of NonMaxSuppression")
    return None


def nms_facts(graph: OnnxGraph) -> Mapping[str, Any]:
    """Return the threshold of a network's NonMaxSuppression, wherever it is, if it is stored in the file."""
    whole = graph.model.graph
    makers = {name: node for node in nodes_of(whole) for name in node.output}
    stored = {item.name: numpy_helper.to_array(item) for item in whole.initializer if item.dims in ([], [1])}
    nodes = [node for node in nodes_of(whole) if node.op_type == "NonMaxSuppression"]
    told = {
        _number(node.input[IOU_THRESHOLD], makers, stored) for node in nodes if len(node.input) > IOU_THRESHOLD
    }
    return {"iou_threshold": told.pop()} if len(told) == 1 and None not in told else {}


def _number(name: str, makers: Mapping[str, NodeProto], stored: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the one number that is stored in a tensor, or in what Unsqueeze or Cast made it of."""
    while name in makers and makers[name].input:
        name = makers[name].input[0]
    if name in stored:
        return float(stored[name].item())
    values = [helper.get_attribute_value(item) for item in makers[name].attribute] if name in makers else []
    numbers = [numpy_helper.to_array(v).item() if isinstance(v, TensorProto) else v for v in values]
    return float(numbers[0]) if numbers and isinstance(numbers[0], (int, float)) else None


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield all nodes of a graph and of the bodies in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                yield from nodes_of(body)
