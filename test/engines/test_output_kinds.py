"""TensorRT on a real GPU finds what ONNX Runtime finds, whatever kind of outputs the network has."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from gpu import NEEDS_GPU
from table_network import ANCHORS, CLASSES, ZERO, assert_same, picture, table_card, table_network
from test_graph_kinds import HAND_MADE, any_corners, decoded_card, rows_card, rows_network

from trt_ssd_ros.core.detector import Detector, Thresholds
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.nms_check import has_greedy_nms
from trt_ssd_ros.engines.cuda_memory import CudaDevice
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_engine import TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt

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


def found_by(engine: object, card: ModelCard, image: np.ndarray):
    detector = Detector(engine, card, host_nms=not has_greedy_nms(engine, card, (1, *image.shape)))
    detector.thresholds = Thresholds((0.301,) * CLASSES, 0.45, ANCHORS * CLASSES)
    try:
        return detector.detect(image, "rgb")
    finally:
        detector.close()


@pytest.mark.parametrize(("card", "network", "rows"), KINDS.values(), ids=KINDS)
def test_finds_what_onnxruntime_finds(card: ModelCard, network: onnx.ModelProto, rows: np.ndarray):
    graph, image, library = compose(network, card), picture(rows), load_tensorrt()
    expected = found_by(OnnxRuntimeEngine(graph), card, image)
    assert len(expected) > 3
    plan = build_plan(graph, library, BuildOptions(max_image_side=64, typical_image=image.shape[:2]))
    assert_same(found_by(TensorRtEngine(plan, library, CudaDevice()), card, image), expected)
