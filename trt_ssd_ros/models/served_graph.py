"""Composed graph in the form that inference servers batch: the first dimension of every tensor counts images.

A server that joins the requests of several robots in one batch can do so only along a first dimension that all
tensors have; so each image brings its own thresholds. Robots send rgb images of the network's size.

Inputs (N images, C classes; height and width of the network's input):
    image             uint8 [N, height, width, 3]  rgb pixels
    class_thresholds  float32 [N, C]               lowest score reported for each class
    iou_thresholds    float32 [N, 1]               overlap above which NMS drops the lower-scored box of a class

Outputs: boxes, scores, class_ids and keep of the composed graph (see `models/graph.py`), and
    settled           int32 [N, 1]                 0 where NMS had not reached its fixed point
    graph_sha256      int32 [N, 8]                 SHA-256 of the composed graph: shows which graph has run
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trt_ssd_ros.files import PACKAGE
from trt_ssd_ros.models.card import FinalDetections, ModelCard, ModelCardError
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import batch_size

HASH_OUTPUT = "graph_sha256"


def compose_served(network: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """Build the served graph that the module docstring describes.

    Raises:
        ModelCardError: The card does not fit the network, or the network has an NMS of its own.
    """
    if isinstance(card.outputs, FinalDetections):
        expected = "raw heads or decoded boxes: a server cannot batch a network with its own NMS"
        raise ModelCardError("outputs", "final detections", expected)
    model = compose(network, card)
    batch, graph = batch_size(network, card), model.graph
    digest = graph_digest(model)
    constants: dict[str, NDArray[Any]] = {
        "channel_order": np.array([0, 1, 2], np.int32),
        "served/axis_1": np.array([1], np.int64),
        "served/axis_2": np.array([2], np.int64),
        "served/graph_sha256": digest[None],
    }
    # The composed graph compares scores [N, A, C] and overlaps [N, M, M] with its thresholds; these broadcast.
    before = [
        helper.make_node("Unsqueeze", ["class_thresholds", "served/axis_1"], ["class_threshold"]),
        helper.make_node("Unsqueeze", ["iou_thresholds", "served/axis_2"], ["iou_threshold"]),
    ]
    after = [
        helper.make_node("Unsqueeze", ["served/settled", "served/axis_1"], ["settled"]),
        # The hash is added to zeros of the batch, because a constant would have one row, whatever the batch.
        helper.make_node("Sub", ["settled", "settled"], ["served/zeros"]),
        helper.make_node("Add", ["served/zeros", "served/graph_sha256"], [HASH_OUTPUT]),
    ]
    for node in graph.node:
        node.output[:] = ["served/settled" if name == "settled" else name for name in node.output]
    tensors = [*graph.initializer, *(numpy_helper.from_array(array, name) for name, array in constants.items())]
    served = helper.make_graph([*before, *graph.node, *after], card.name, *_interface(graph, card, batch), tensors)
    opsets, version = model.opset_import, model.ir_version
    result = helper.make_model(served, producer_name=PACKAGE, opset_imports=opsets, ir_version=version)
    helper.set_model_props(result, {HASH_OUTPUT: digest.astype("<i4").tobytes().hex()})
    onnx.checker.check_model(result, full_check=True)
    return result


def _interface(
    graph: onnx.GraphProto, card: ModelCard, batch: int | str
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Return the inputs and the outputs of the served graph."""
    size = card.input
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, size.height, size.width, 3]),
        helper.make_tensor_value_info("class_thresholds", TensorProto.FLOAT, [batch, len(card.labels)]),
        helper.make_tensor_value_info("iou_thresholds", TensorProto.FLOAT, [batch, 1]),
    ]
    outputs = [
        *(output for output in graph.output if output.name != "settled"),
        helper.make_tensor_value_info("settled", TensorProto.INT32, [batch, 1]),
        helper.make_tensor_value_info(HASH_OUTPUT, TensorProto.INT32, [batch, 8]),
    ]
    return inputs, outputs


def graph_digest(model: onnx.ModelProto) -> NDArray[np.int32]:
    """Return the SHA-256 of a composed graph as eight numbers (8,) int32.

    It covers what is computed, and not the notes that versions of onnx add: inferred shapes and texts.
    """
    bare = onnx.GraphProto()
    bare.CopyFrom(model.graph)
    for field in ("value_info", "doc_string", "metadata_props", "quantization_annotation"):
        if field in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(field)
    content = hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
    return np.frombuffer(content, np.dtype("<i4")).astype(np.int32)
