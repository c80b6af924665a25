"""An engine whose NMS is wrong is found out, and the detector does without it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from output_kinds import HAND_MADE, any_corners, decoded_card, rows_card, rows_network
from table_network import ANCHORS, CLASSES, ZERO, picture, table_card, table_network

from trt_ssd_ros.detection import agreement
from trt_ssd_ros.detection.agreement import has_greedy_nms
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.graph import compose

SHAPE = (2, ANCHORS, 4 + 1 + CLASSES, 3)


class Miscompiled(OnnxRuntimeEngine):
    """Keeps the best box only, as TensorRT for RTX 1.6.1 did of 192 candidates, unless told otherwise."""

    flips: slice = slice(1, None)
    settled = 1

    def run(self, inputs):
        outputs = dict(super().run(inputs))
        outputs["keep"] = outputs["keep"].copy()
        outputs["keep"][:, self.flips] = 0
        outputs["settled"] = np.full_like(outputs["settled"], self.settled)
        return outputs


def let_all_in() -> dict[str, np.ndarray]:
    return {"channel_order": np.arange(3, dtype=np.int32), **Thresholds((0.0,) * CLASSES, 0.0, 1).tensors}


@pytest.fixture
def said(hear: Callable[..., pytest.LogCaptureFixture]) -> pytest.LogCaptureFixture:
    return hear(agreement)


@pytest.mark.parametrize("card", [table_card(), decoded_card()], ids=["raw heads", "corners"])
def test_what_keeps_the_best_box_only_is_found_out(card, said):
    graph = compose(table_network(), card)
    assert has_greedy_nms(OnnxRuntimeEngine(graph), card, SHAPE)
    assert said.text == ""
    assert not has_greedy_nms(Miscompiled(graph), card, SHAPE)
    assert re.search(r"is wrong for \d+ of \d+ boxes: NMS runs on the CPU", said.text)


def test_one_box_may_be_on_the_edge(said):
    class Rounded(Miscompiled):
        flips = slice(0, 1)

    card = table_card()
    assert has_greedy_nms(Rounded(compose(table_network(), card)), card, SHAPE)
    assert said.text == ""


def test_where_the_graph_did_not_settle_the_detector_goes_on_anyway():
    class Unsettled(Miscompiled):
        settled = 0

    card = table_card()
    assert has_greedy_nms(Unsettled(compose(table_network(), card)), card, SHAPE)


def test_rows_of_a_network_s_own_nms_are_all_kept_on_the_host_too():
    card, image = rows_card(), picture((HAND_MADE + ZERO).astype(np.uint8))
    graph = compose(rows_network(), card)
    engine = OnnxRuntimeEngine(graph)
    engine.run = lambda _: OnnxRuntimeEngine.run(engine, {**let_all_in(), "image": image[None]})
    assert has_greedy_nms(engine, card, (1, *image.shape)), "none of the equal boxes is suppressed"
    detector = Detector(Miscompiled(graph), card, host_nms=True)
    detector.thresholds = Thresholds((0.3,) * CLASSES, iou=0.0, max_detections=9)
    assert detector.detect(image, "rgb").class_ids.tolist() == [2, 0, 0, 1]


def test_nms_on_the_host_finds_what_a_good_engine_finds():
    card, image = decoded_card(), picture(any_corners())
    graph = compose(table_network(), card)
    found = []
    for detector in (Detector(OnnxRuntimeEngine(graph), card), Detector(Miscompiled(graph), card, host_nms=True)):
        detector.thresholds = Thresholds((0.3,) * CLASSES, 0.45, ANCHORS * CLASSES)
        found.append(detector.detect(image, "rgb"))
    assert len(found[0]) > 20
    np.testing.assert_array_equal(found[0].boxes, found[1].boxes)
    np.testing.assert_array_equal(found[0].class_ids, found[1].class_ids)


def test_the_shipped_detector_has_greedy_nms(shipped_engine, card, said):
    assert has_greedy_nms(shipped_engine, card, (1, 720, 1280, 3))
    assert said.text == ""
