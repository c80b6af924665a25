"""TensorRT on a real GPU finds what ONNX Runtime finds."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from trt_ssd_ros.core.detections import Detections
from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_engine import TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import FLAVOURS, TensorRt

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not any(map(find_spec, FLAVOURS)), reason="needs TensorRT and an NVIDIA GPU"),
]

SIZES = [(64, 64), (33, 2000), (641, 479), (1280, 720), (3840, 2160)]
PHOTOS = ["astronaut", "chelsea", "coffee"]


@pytest.fixture(scope="module")
def library() -> TensorRt:
    return TensorRt()


@pytest.fixture(scope="module")
def plan(library: TensorRt, shipped_graph) -> bytes:
    return build_plan(shipped_graph, library, BuildOptions())


@pytest.fixture(scope="module")
def engine(plan: bytes, library: TensorRt):
    engine = TensorRtEngine(plan, library)
    yield engine
    engine.close()


@pytest.fixture
def on_gpu(engine: TensorRtEngine, card) -> Detector:
    return Detector(engine, card)


def assert_same_detections(found: Detections, expected: Detections) -> None:
    """Each has its like in the other: class, box within 0.5 px, score within 1e-3; near ties may swap places."""
    assert len(found) == len(expected)
    left = list(range(len(expected)))
    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
        alike = [
            i
            for i in left
            if class_id == expected.class_ids[i]
            and abs(score - expected.scores[i]) <= 1e-3
            and np.abs(box - expected.boxes[i]).max() <= 0.5 * max(1.0, expected.boxes.max() / 1280)
        ]
        assert alike, f"no like of class {class_id}, score {score}, box {box} in {expected}"
        left.remove(alike[0])


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("name", PHOTOS)
def test_finds_what_onnxruntime_finds(on_gpu, detector, photo, name, size):
    image = cv2.resize(photo(name), size)
    assert_same_detections(on_gpu.detect(image), detector.detect(image))


def test_channel_orders_are_alike(on_gpu, photo):
    image = photo("coffee")
    assert_same_detections(on_gpu.detect(image[..., ::-1], "rgb"), on_gpu.detect(image, "bgr"))


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_batch_is_one_by_one(on_gpu, photo, count):
    images = np.stack([cv2.resize(photo(PHOTOS[i % 3]), (640, 480)) for i in range(count)])
    for found, image in zip(on_gpu.detect_batch(images), images, strict=True):
        assert_same_detections(found, on_gpu.detect(image))


def test_thresholds_act_without_rebuilding(on_gpu, photo):
    image = photo("chelsea")
    before = len(on_gpu.detect(image))
    on_gpu.thresholds = replace(on_gpu.thresholds, classes=(2.0,) * 23)
    assert (before, len(on_gpu.detect(image))) == (1, 0)


def test_the_cuda_graph_changes_nothing(plan, library, on_gpu, card, photo):
    plain = TensorRtEngine(plan, library, capture=False)
    try:
        assert_same_detections(Detector(plain, card).detect(photo("coffee")), on_gpu.detect(photo("coffee")))
    finally:
        plain.close()


def test_an_image_beyond_the_plan_is_an_error_and_the_next_one_is_found(on_gpu, engine, photo):
    on_gpu.detect(photo("chelsea"))
    with pytest.raises(RuntimeError, match=r"takes no image of shape \[1, 2200, 4000, 3\]"):
        on_gpu.detect(np.zeros((2200, 4000, 3), np.uint8))
    assert len(on_gpu.detect(photo("chelsea"))) == 1
    assert engine._graph is not None, "of the same size as before, it is captured again"


@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_plan_is_one_error_in_tensorrts_words(plan, library, kept):
    with pytest.raises(RuntimeError, match=r"refuses the plan: .+"):
        TensorRtEngine(plan[: int(len(plan) * kept)], library)


def test_closing_twice_is_once(plan, library):
    engine = TensorRtEngine(plan, library)
    engine.close()
    engine.close()
