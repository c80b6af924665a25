"""TensorRT on a real GPU finds what ONNX Runtime finds, whatever kind of outputs the network has."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import onnx
import pytest
from gpu import NEEDS_GPU
from onnx import TensorProto
from output_kinds import HAND_MADE, any_corners, decoded_card, rows_card, rows_network
from table_network import ANCHORS, CLASSES, ZERO, assert_same, picture, table_card, table_network

from trt_ssd_ros.detection.detections import Detections, nms
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import InferenceEngine
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.cuda import CudaDevice
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_engine import TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.models.graph_nms import better_mask, suppress

pytestmark = NEEDS_GPU
ROWS = (HAND_MADE + ZERO).astype(np.uint8)
KINDS = {
    "raw heads": (table_card(), table_network(), any_corners()),
    "corners": (decoded_card(), table_network(), any_corners()),
    "corners, y first, clipped": (
        decoded_card(box_order="yxyx", clip_before_nms=True),
        table_network(),
        any_corners(),
    ),
    "rows of seven": (rows_card(), rows_network(), ROWS),
}


def found_by(engine: InferenceEngine, card: ModelCard, image: np.ndarray) -> Detections:
    """Detect with the graph's own NMS, right or wrong."""
    with closing(Detector(engine, card)) as detector:
        detector.thresholds = Thresholds((0.301,) * CLASSES, 0.45, ANCHORS * CLASSES)
        return detector.detect(image, "rgb")


@pytest.mark.parametrize(("card", "network", "rows"), KINDS.values(), ids=KINDS)
def test_finds_what_onnxruntime_finds(card, network, rows):
    graph, image, library = compose(network, card), picture(rows), load_tensorrt()
    expected = found_by(OnnxRuntimeEngine(graph), card, image)
    assert len(expected) > 3
    plan = build_plan(graph, library, BuildOptions(max_image_side=64, typical_image=image.shape[:2]))
    assert_same(found_by(TensorRtEngine(plan, library, CudaDevice()), card, image), expected)


@pytest.mark.parametrize("count", [9, 64, 192, 300, 384, 400, 1000])
def test_nms_is_greedy_however_many_candidates_there_are(count):
    rng, threshold = np.random.default_rng(count), 0.45
    corners = rng.random((count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(0.1, 0.3, (count, 2))]).astype(np.float32)
    scores = np.sort(rng.random(count, np.float32))[::-1]
    class_ids = rng.integers(0, 2, count).astype(np.int32)
    boxes[1], class_ids[1] = boxes[0], class_ids[0]
    white = np.ones((1, 1, 1, 3), np.uint8)
    candidates = {"image": white, "boxes": boxes[None], "scores": scores[None], "class_ids": class_ids[None]}
    plan = build_plan(nms_graph(count), load_tensorrt(), BuildOptions())
    with closing(TensorRtEngine(plan, load_tensorrt(), CudaDevice())) as engine:
        outputs = engine.run({**candidates, "iou_threshold": np.array([threshold], np.float32)})
        settled, keep = outputs["settled"].tolist(), outputs["keep"][0].copy()
    greedy = nms(boxes, scores, class_ids, threshold)
    assert 1 < greedy.sum() < count
    assert settled == [1]
    np.testing.assert_array_equal(keep, greedy)


def nms_graph(count: int) -> onnx.ModelProto:
    """Return the part of the graph that does NMS, alone but for an image, whose 1 multiplies the scores."""
    graph = GraphBuilder()
    graph.input("image", TensorProto.UINT8, [1, "H", "W", 3])
    graph.input("boxes", TensorProto.FLOAT, [1, count, 4])
    graph.input("scores", TensorProto.FLOAT, [1, count])
    graph.input("class_ids", TensorProto.INT32, [1, count])
    graph.input("iou_threshold", TensorProto.FLOAT, [1])
    one = graph("ReduceMax", graph("Cast", "image", to=TensorProto.FLOAT), keepdims=0)
    scores = graph("Mul", "scores", one)
    keep, settled = suppress(graph, "boxes", scores, "class_ids", better_mask(graph, count), "iou_threshold")
    graph.output("keep", keep, TensorProto.INT32, [1, count])
    graph.output("settled", settled, TensorProto.INT32, [1])
    return graph.model("nms")
