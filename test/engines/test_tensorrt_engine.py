"""TensorRT on a real GPU finds what ONNX Runtime finds."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest
from gpu import NEEDS_GPU, PHOTOS, SIZES, assert_agree, compare, synthetic_images

from trt_ssd_ros.detection.agreement import TOLERANCES, disagreements
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.card_plans import CardPlans
from trt_ssd_ros.engines.cuda import CudaDevice, Gpu
from trt_ssd_ros.engines.locked_pages import MAX_MAPS
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache
from trt_ssd_ros.engines.tensorrt_engine import MAX_SIZES, PlanRefusedError, TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import ModelCard

pytestmark = NEEDS_GPU
BATCH = 8
WITH_NMS = Thresholds((0.3,) * 90, 0.6, 100)
WITHOUT_NMS = replace(WITH_NMS, iou=1.0, max_detections=400)


@pytest.fixture(scope="module")
def plans(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CardPlans]:
    def make(**options: object) -> CardPlans:
        return CardPlans(
            card, load_tensorrt(), Gpu.find(), BuildOptions(**options), PlanCache(folder), LoggedProgress()
        )

    folder = tmp_path_factory.mktemp("plans")
    return make


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def precision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def engine(plans: Callable[..., CardPlans], precision: str) -> Iterator[TensorRtEngine]:
    engine = plans().open(precision)
    yield engine
    engine.close()


@pytest.fixture
def on_gpu(engine: TensorRtEngine, card: ModelCard) -> Detector:
    return Detector(engine, card)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("name", PHOTOS)
def test_finds_what_onnxruntime_finds_in_photos(on_gpu, detector, photo, precision, name, size):
    assert_agree(on_gpu, detector, photo(name, *size), precision)


def test_finds_what_onnxruntime_finds_in_200_synthetic_images(on_gpu, detector, photo, precision):
    """Before NMS nothing differs in fp32; after it, of two boxes with nearly equal scores another may be left.

    In fp16 one box of a hundred may differ: a score near 0.5 by up to 0.03, where the sigmoid is steepest.
    """
    found = different = differing = 0
    for image in synthetic_images(photo, 200):
        differing += bool(compare(on_gpu, detector, image, precision))
        on_gpu.thresholds = detector.thresholds = WITHOUT_NMS
        found += len(detector.detect(image))
        different += len(compare(on_gpu, detector, image, precision))
        on_gpu.thresholds = detector.thresholds = WITH_NMS
    assert found > 1000
    assert different <= (found / 100 if precision == "fp16" else 0)
    assert differing <= 4


def test_has_the_candidates_of_onnxruntime_in_noise(on_gpu, detector, precision):
    on_gpu.thresholds = detector.thresholds = replace(WITHOUT_NMS, classes=(0.04,) * 90)
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, (*rng.integers(16, 1200, 2), 3), np.uint8) for _ in range(20)]
    assert sum(assert_agree(on_gpu, detector, image, precision) for image in images) > 0


def test_channel_orders_are_alike(on_gpu, photo):
    image = photo("coffee")
    swapped, direct = on_gpu.detect(image[..., ::-1], "rgb"), on_gpu.detect(image, "bgr")
    np.testing.assert_array_equal(swapped.boxes, direct.boxes)
    np.testing.assert_array_equal(swapped.scores, direct.scores)


def test_a_cut_out_of_a_larger_image_is_like_its_copy(on_gpu, photo):
    view = photo("astronaut")[100:400, 50:450]
    np.testing.assert_array_equal(on_gpu.detect(view).boxes, on_gpu.detect(view.copy()).boxes)


def test_thresholds_act_without_rebuilding(on_gpu, photo):
    image = photo("chelsea")
    before = len(on_gpu.detect(image))
    on_gpu.thresholds = replace(on_gpu.thresholds, classes=(2.0,) * 90)
    assert (before, len(on_gpu.detect(image))) == (1, 0)


def test_an_image_beyond_the_plan_is_refused_and_the_next_one_is_found(on_gpu, engine, photo):
    on_gpu.detect(photo("chelsea"))
    with pytest.raises(
        ValueError, match=r"input image: found \[1, 64, 4097, 3\], expected .* to \[1, 4096, 4096, 3\]"
    ):
        on_gpu.detect(np.zeros((64, 4097, 3), np.uint8))
    assert len(on_gpu.detect(photo("chelsea"))) == 1
    assert engine.is_captured, "of the same size as before, it is captured again"


def test_the_cuda_graph_changes_nothing(plans, precision, on_gpu, card, photo):
    plain = Detector(plans().open(precision, capture=False), card)
    try:
        for name in PHOTOS:
            assert_agree(plain, on_gpu, photo(name), precision)
    finally:
        plain.close()


def test_batches_of_1_to_8_are_one_by_one(plans, precision, card, detector, photo):
    images = np.stack([photo(PHOTOS[i % 3], 640, 480) for i in range(BATCH)])
    expected = [detector.detect(image) for image in images]
    tolerance, threshold = TOLERANCES[precision], min(detector.thresholds.classes)
    for kernels in ("compiled", "kept"):
        batched = Detector(plans(batch=BATCH).open(precision), card)
        try:
            for count in range(1, BATCH + 1):
                for found, alone in zip(batched.detect_batch(images[:count]), expected, strict=False):
                    problems = disagreements(found, alone, tolerance, threshold, 640)
                    assert [*found.class_ids] == [*alone.class_ids]
                    assert not problems, f"{kernels} kernels, {count} images: {problems}"
            used = batched.memory_used()
            for count in (1, BATCH, 2):
                batched.detect_batch(images[:count])
            assert batched.memory_used() == used, "each batch size keeps its memory and its CUDA graph"
        finally:
            batched.close()


@pytest.mark.parametrize("capture", [True, False])
def test_batches_in_flight_are_one_by_one(plans, precision, card, photo, capture):
    """Of one size and of several, completed in order and not, and closed in flight."""
    sizes = [(640, 480)] * 4 + [(800, 600), (640, 480), (800, 600), (800, 600)]
    images = [photo(PHOTOS[i % 3], *size) for i, size in enumerate(sizes)]
    alone, flying = (Detector(plans().open(precision, capture=capture), card) for _ in range(2))
    try:
        expected = [alone.detect(image) for image in images]
        for order in (slice(None), slice(None, None, -1)):
            waits = [flying.start_batch([image]) for image in images]
            for wait, wanted in list(zip(waits, expected, strict=True))[order]:
                [found] = wait()
                np.testing.assert_array_equal(found.class_ids, wanted.class_ids)
                np.testing.assert_allclose(found.scores, wanted.scores, atol=TOLERANCES[precision].score)
        waits = [flying.start_batch([image]) for image in images[:2]]
    finally:
        alone.close()
        flying.close()
    for wait, wanted in zip(waits, expected, strict=False):
        np.testing.assert_array_equal(wait()[0].class_ids, wanted.class_ids)


def test_images_in_memory_maps_are_uploaded_from_there(on_gpu, engine, photo):
    for number in range(MAX_MAPS + 3):
        image = photo(PHOTOS[number % 3], 1280, 720)
        mapped = np.frombuffer(mmap(-1, image.nbytes + 52), np.uint8)[52:].reshape(image.shape)
        expected = on_gpu.detect(image)
        assert engine._newest.slots[0].source is None
        np.copyto(mapped, image)
        for memory in (mapped, mapped):
            wait = on_gpu.start_batch([memory])
            assert np.shares_memory(engine._newest.slots[0].source, mapped)
            [found] = wait()
            np.testing.assert_array_equal(found.boxes, expected.boxes)
            np.testing.assert_array_equal(found.scores, expected.scores)
        assert len(expected)


def test_a_run_that_is_not_fetched_before_the_engine_is_closed_says_so(plans, precision, photo):
    engine = plans().open(precision)
    inputs = {
        "image": photo("coffee")[None],
        "channel_order": np.array([2, 1, 0], np.int32),
        **WITH_NMS.tensors,
    }
    fetch = engine.start(inputs)
    engine.start(inputs)
    with pytest.raises(RuntimeError, match="found 2 runs in flight"):
        engine.start(inputs)
    # The engine has run with images of its typical size and of the photo's.
    *fitting, beyond = [photo("coffee", 640 + 2 * number, 480)[None] for number in range(MAX_SIZES - 1)]
    for images in fitting:
        engine.run({**inputs, "image": images})
    with pytest.raises(RuntimeError, match="found runs in flight"):
        engine.start({**inputs, "image": beyond})
    engine.close()
    with pytest.raises(RuntimeError, match="closed before the outputs"):
        fetch()


@pytest.fixture
def kernels(
    plans: Callable[..., CardPlans],
    engine: TensorRtEngine,  # noqa: ARG001 - the engine has compiled and kept them
    precision: str,
) -> Path:
    if load_tensorrt().flavour == "tensorrt":
        pytest.skip("TensorRT itself compiles nothing when a plan is opened")
    return plans().kernels_path(precision)


def test_kept_plans_and_kernels_are_used_again(plans, precision, kernels, caplog):
    caplog.set_level(logging.INFO, "trt_ssd_ros")
    written = kernels.stat().st_mtime_ns
    plans().open(precision).close()
    assert "building" not in caplog.text
    assert kernels.stat().st_mtime_ns == written


@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_plan_is_one_error_in_tensorrts_words(plans, kept):
    content = plans().obtain("fp32").content
    with pytest.raises(PlanRefusedError, match=r"refuses the plan: .+"):
        TensorRtEngine(content[: int(len(content) * kept)], load_tensorrt(), CudaDevice())


def test_damaged_kernels_are_compiled_again(plans, precision, kernels, detector, card, photo, caplog):
    kernels.write_bytes(kernels.read_bytes()[:-1000])
    again = Detector(plans().open(precision), card)
    try:
        assert_agree(again, detector, photo("coffee"), precision)
    finally:
        again.close()
    assert "cached kernels are damaged or of another plan" in caplog.text


def test_auto_keeps_the_faster_that_agrees(plans, photo, caplog):
    caplog.set_level(logging.INFO, "trt_ssd_ros")
    images = [photo(name) for name in PHOTOS]
    source = plans()
    chosen = source.choose(images)
    choice = source.choice()
    assert choice["precision"] == chosen
    assert choice["disagreements"] == []
    assert chosen == min(("fp32", "fp16"), key=lambda name: choice[f"{name}_ms"])
    caplog.clear()
    assert plans().choose(images) == chosen
    assert caplog.text == "", "the second time it is only looked up"


def test_engines_close_in_any_order_and_twice(plans, card, photo):
    first, second = plans().open("fp32"), plans().open("fp32")
    first.close()
    assert len(Detector(second, card).detect(photo("chelsea"))) == 1
    second.close()
    second.close()


def test_a_closed_device_leaves_bound_what_was_bound_before():
    def bound() -> int | None:
        context = ctypes.c_void_p()
        assert ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context)) == 0
        return context.value

    before = bound()
    CudaDevice().close()
    assert bound() == before
