"""One way for a process with an engine on the GPU to end: gpu_process.py WAY. Plans: $TRT_SSD_ENGINE_DIR."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import pycuda.driver as cuda

sys.path.insert(0, str(Path(__file__).parent))

from gpu_fault import break_gpu

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.cuda import CudaDevice
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import DEFAULT_MODEL, model_card_path

IMAGE = np.zeros((480, 640, 3), np.uint8)


def open_fp32() -> Detector:
    return open_detector(ModelCard.load(model_card_path(DEFAULT_MODEL)), EngineChoice("tensorrt", "fp32"))


def fill_gpu(left: int) -> list[object]:
    """Take all of the GPU's memory but `left` bytes."""
    blocks: list[object] = []
    size = 1 << 34
    while size >= 1 << 20:
        free, _ = cuda.mem_get_info()
        if free - size < left:
            size >>= 1
            continue
        try:
            blocks.append(cuda.mem_alloc(size))
        except cuda.MemoryError:
            size >>= 1
    return blocks


def normal() -> None:
    detector = open_fp32()
    detector.detect(IMAGE)
    detector.close()


def forgotten() -> None:
    """Nothing is closed."""
    global kept  # noqa: PLW0603 - so that the interpreter's end finds it
    kept = open_fp32()
    kept.detect(IMAGE)


def exception() -> None:
    forgotten()
    raise RuntimeError("something else went wrong")


def interrupted() -> None:
    forgotten()
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()


def sticky() -> None:
    detector = open_fp32()
    with detector._engine._device.bound():
        break_gpu()
    start = monotonic()
    try:
        detector.detect(IMAGE)
    finally:
        detector.close()
        print(f"over in {monotonic() - start:.2f} s")


def no_memory_to_open() -> None:
    device = CudaDevice()
    with device.bound():
        kept = fill_gpu(left=8 << 20)
        try:
            open_fp32()
        finally:
            print(len(kept))


def no_memory_for_an_image() -> None:
    detector = open_fp32()
    device = CudaDevice()
    with device.bound():
        kept = fill_gpu(left=1 << 20)
        try:
            detector.detect(np.zeros((4000, 4000, 3), np.uint8))
        except RuntimeError as error:
            print(f"refused: {error}")
        kept.clear()
    print(f"afterwards: {len(detector.detect(IMAGE))} found")
    detector.close()
    device.close()


if __name__ == "__main__":
    {
        way.__name__: way
        for way in (normal, forgotten, exception, interrupted, sticky, no_memory_to_open, no_memory_for_an_image)
    }[sys.argv[1]]()
