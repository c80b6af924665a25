"""Non-maximum suppression in a network: plugins of TensorRT, Caffe and TFLite, and ONNX's own operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.heads import (
    MIN_BOXES,
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
    """Return the inputs of a node that does all of NMS, as TensorRT's plugins and TFLite's do."""
    for node in reversed(graph.nodes):
        if node.op_type in PLUGINS:
            try:
                return PLUGINS[node.op_type](node)
            except IndexError as error:
                raise NotFoundError(f"{node.op_type} has {len(node.input)} inputs, expected more") from error
    return None


CENTER_SIZE, TF_CENTER = 1, 3


def _caffe(node: NodeProto) -> Heads:
    """Read NMS_TRT (plugin/nmsPlugin of TensorRT: README.md, decodeBBoxes.cu) or Caffe's DetectionOutput."""
    settings = attributes(node)
    order = settings.get("inputOrder", [0, 1, 2])
    loc, conf, prior = (node.input[index] for index in order)
    code = settings.get("codeType", CENTER_SIZE)
    if node.op_type == "DetectionOutput":  # Caffe counts from 1, TensorRT from 0
        code = settings.get("codeType", CENTER_SIZE + 1) - 1
    if settings.get("shareLocation", 1) != 1 or code not in (CENTER_SIZE, TF_CENTER):
        raise NotFoundError(
            f"{node.op_type}: found {settings}, expected shareLocation 1 and a codeType of centre and size: "
            "export the network with these"
        )
    facts: dict[str, Any] = {
        **_background(settings.get("backgroundLabelId", 0), settings.get("numClasses", 0), node),
        "score_conversion": "sigmoid" if settings.get("confSigmoid") else "none",
        "iou_threshold": settings.get("nmsThreshold"),
    }
    if code == TF_CENTER:
        facts["family"] = "tf_object_detection_api"
    elif node.op_type == "NMSDynamic_TRT":  # of TAO's exporter only
        facts["family"] = "tao_ssd"
    elif node.op_type == "DetectionOutput":
        facts["families"] = ["caffe_ssd_voc", "caffe_ssd_coco", "other"]
    scaled = bool(settings.get("varianceEncodedInTarget", 0)) and code != TF_CENTER
    priors = Priors(
        prior, "corners", (1.0, 1.0, 1.0, 1.0) if scaled else None, "yxhw" if code == TF_CENTER else "xywh"
    )
    why = f"the inputs of {node.op_type} {node.name}"
    return Heads(loc, conf, why, settings.get("numClasses", 0), priors, facts)


def _background(column: int, columns: int, node: NodeProto) -> dict[str, str]:
    """Return the position of the background, from a node's column index: -1 for none."""
    if column < 0:
        return {"background": "none"}
    if column == 0:
        return {"background": "first"}
    if columns and column == columns - 1:
        return {"background": "last"}
    raise NotFoundError(
        f"{node.op_type}: found background {column}, expected the first or last column of scores, or -1 (none)"
    )


def _batched(node: NodeProto) -> Heads:
    """Read BatchedNMS_TRT (plugin/batchedNMSPlugin/README.md of TensorRT)."""
    settings = attributes(node)
    facts = {
        **_background(settings.get("backgroundLabelId", -1), settings.get("numClasses", 0), node),
        "score_conversion": "none",
        "iou_threshold": settings.get("iouThreshold"),
        "decoded": True,
    }
    return Heads(node.input[0], node.input[1], f"the inputs of {node.op_type} {node.name}", 0, None, facts)


def _efficient(node: NodeProto) -> Heads:
    """Read EfficientNMS_TRT (plugin/efficientNMSPlugin/README.md of TensorRT), with or without anchors."""
    settings = attributes(node)
    facts = {
        **_background(settings.get("background_class", -1), 0, node),
        "score_conversion": "sigmoid" if settings.get("score_activation") else "none",
        "iou_threshold": settings.get("iou_threshold"),
    }
    why = f"the inputs of {node.op_type} {node.name}"
    if len(node.input) > 2 and settings.get("box_coding", 0) == 1:
        priors = Priors(node.input[2], "yxhw", (1.0, 1.0, 1.0, 1.0), "yxhw")
        return Heads(node.input[0], node.input[1], why, 0, priors, facts)
    if len(node.input) > 2 or settings.get("box_coding", 0) != 0:
        raise NotFoundError(
            f"{node.op_type} has {len(node.input)} inputs and box_coding {settings.get('box_coding', 0)}, "
            "expected corners (0) without anchors, or centres and sizes (1) with anchors"
        )
    return Heads(node.input[0], node.input[1], why, 0, None, {**facts, "decoded": True})


def _tflite(node: NodeProto) -> Heads:
    """Read TFLite_Detection_PostProcess (tensorflow/lite/kernels/detection_postprocess.cc)."""
    settings = attributes(node)
    scales = tuple(
        float(settings.get(f"{letter}_scale", scale)) for letter, scale in zip("yxhw", (10, 10, 5, 5), strict=True)
    )
    facts = {
        "score_conversion": "none",
        "iou_threshold": settings.get("nms_iou_threshold"),
        "family": "tf_object_detection_api",
        **({"classes": settings["num_classes"]} if "num_classes" in settings else {"background": "first"}),
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
    """Return the inputs of ONNX's NonMaxSuppression if they hold all boxes and all scores."""
    for node in graph.nodes:
        if node.op_type == "NonMaxSuppression":
            boxes, scores = node.input[:2]
            whole = box_count(shapes.get(boxes, ())) >= MIN_BOXES and usable(graph, (boxes, scores))
            if whole and not any(item.name == "center_point_box" and item.i for item in node.attribute):
                return Heads(boxes, scores, "the inputs of NonMaxSuppression")
    return None


def nms_facts(graph: OnnxGraph) -> Mapping[str, Any]:
    """Return the IoU threshold of a network's NonMaxSuppression nodes if it is constant and the same in all."""
    whole = graph.model.graph
    producers = {name: node for node in nodes_of(whole) for name in node.output}
    stored = {item.name: numpy_helper.to_array(item) for item in whole.initializer if item.dims in ([], [1])}
    nodes = [node for node in nodes_of(whole) if node.op_type == "NonMaxSuppression"]
    thresholds = {
        _number(node.input[IOU_THRESHOLD], producers, stored) for node in nodes if len(node.input) > IOU_THRESHOLD
    }
    return {"iou_threshold": thresholds.pop()} if len(thresholds) == 1 and None not in thresholds else {}


def _number(name: str, producers: Mapping[str, NodeProto], stored: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the one value that is stored in a tensor, or in the tensor that Unsqueeze or Cast made it from."""
    while name in producers and producers[name].input:
        name = producers[name].input[0]
    if name in stored:
        return float(stored[name].item())
    values = [helper.get_attribute_value(item) for item in producers[name].attribute] if name in producers else []
    numbers = [numpy_helper.to_array(v).item() if isinstance(v, TensorProto) else v for v in values]
    return float(numbers[0]) if numbers and isinstance(numbers[0], (int, float)) else None


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield all nodes of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                yield from nodes_of(body)
