"""Nothing grows on the GPU or in the process, however often engines are opened and images detected in.

TRT_SSD_ENDURANCE=1 runs the full numbers, as scripts/gpu_check does.
"""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import psutil
import pytest
from gpu import NEEDS_GPU

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.card_plans import CardPlans
from trt_ssd_ros.engines.cuda import CudaDevice, Gpu
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import ModelCard

pytestmark = NEEDS_GPU
FULL = os.environ.get("TRT_SSD_ENDURANCE") == "1"
CYCLES, FRAMES = (500, 20000) if FULL else (20, 1000)
WARM_UP = 10
RTX_LEAK, RTX_GPU_LEAK = 0.25, 2 / 310
"""MiB that TensorRT for RTX 1.6.1 keeps of each context with nothing of ours around it, in a loop by hand."""
GPU_STEP = 2
"""MiB in which GPU memory is counted."""


@pytest.fixture(scope="module")
def plans(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> CardPlans:
    cache = PlanCache(tmp_path_factory.mktemp("plans"))
    return CardPlans(card, load_tensorrt(), Gpu.find(), BuildOptions(), cache, LoggedProgress())


def used(device: CudaDevice) -> dict[str, int]:
    gc.collect()
    return {
        "GPU MiB": device.memory_used() >> 20,
        "RSS MiB": psutil.Process().memory_info().rss >> 20,
        "threads": threading.active_count(),
        "native threads": psutil.Process().num_threads(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def assert_no_growth(before: dict[str, int], after: dict[str, int], rss: float, gpu: float = GPU_STEP) -> None:
    grown = {name: after[name] - before[name] for name in before}
    print(f"\nbefore {before}\nafter  {after}")
    assert grown.pop("RSS MiB") <= rss
    assert grown.pop("GPU MiB") <= gpu
    assert all(count <= 0 for count in grown.values()), grown


def test_opening_and_closing_leaves_nothing_behind(plans, card, photo):
    device = CudaDevice()
    image = photo("chelsea", 1280, 720)

    def cycle() -> None:
        detector = Detector(plans.open("fp32"), card)
        assert len(detector.detect(image)) == 1
        detector.close()

    for _ in range(WARM_UP):
        cycle()
    before = used(device)
    for _ in range(CYCLES):
        cycle()
    assert_no_growth(before, used(device), rss=10 + CYCLES * RTX_LEAK, gpu=2 * GPU_STEP + CYCLES * RTX_GPU_LEAK)
    device.close()


def test_detecting_leaves_nothing_behind(plans, card, photo):
    device = CudaDevice()
    detector = Detector(plans.open("fp16"), card)
    images = [photo("chelsea", 1280, 720), photo("coffee", 640, 480)]
    found = [len(detector.detect(image)) for image in images * WARM_UP][-2:]
    before = used(device)
    for number in range(FRAMES):
        assert len(detector.detect(images[number // 500 % 2])) == found[number // 500 % 2] > 0
    assert_no_growth(before, used(device), rss=10)
    detector.close()
    device.close()
