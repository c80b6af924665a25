"""Speed of a detector on images of one size: latency percentiles, throughput, processor time, memory, power."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.power_meter import PowerMeter
from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.detection.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.detection.timing import Timing, time_interleaved, time_paced, time_rounds
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network

LOGGER = logging.getLogger(__name__)
ROUNDS = 5
WARM_UP = 3


@dataclass(frozen=True)
class Speed:
    """Latency and resources of a detector.

    Attributes:
        engine: Name and version of the engine.
        kind: Backend of the engine.
        precision: Precision of the network.
        width: Image width in pixels.
        height: Image height in pixels.
        batch: Images per call.
        images: Number of timed images.
        p50: Median latency of a call in milliseconds.
        p90: 90th percentile of the latency of a call in milliseconds.
        p99: 99th percentile of the latency of a call in milliseconds.
        frames_per_s: Images per second, with as many calls in flight as the engine takes.
        spread: Range of the rounds' medians, relative to their median.
        cpu_ms: Processor time of the process per image in milliseconds.
        memory_mib: Resident memory of the process in MiB.
        gpu_mib: GPU memory in use by all processes in MiB; None without a GPU.
        watts: Mean power in watts by rail.
    """

    engine: str
    kind: str
    precision: str
    width: int
    height: int
    batch: int
    images: int
    p50: float
    p90: float
    p99: float
    frames_per_s: float
    spread: float
    cpu_ms: float
    memory_mib: float
    gpu_mib: float | None = None
    watts: Mapping[str, float] = field(default_factory=dict)

    @property
    def configuration(self) -> tuple[str, str, int, int, int]:
        """Backend, precision, size and batch; speeds of one configuration can be compared."""
        return self.kind, self.precision, self.width, self.height, self.batch

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}"
        return f"{self.engine}, {self.precision}, {size}, batch {self.batch}: p50 {self.p50:.2f} ms"


def measure_speed(
    detector: Detector,
    photo: NDArray[np.uint8],
    batch: int,
    repeats: int,
    done: Callable[[], object],
    rate: float = 0.0,
    gpu: int = 0,
) -> Speed:
    """Time a detector on copies of a photo.

    Args:
        detector: Detector to time.
        photo: Image to detect in, (H, W, 3) uint8, bgr.
        batch: Images per call.
        repeats: Number of timed calls, in ROUNDS rounds.
        done: Callback after each round; its exceptions end the measurement.
        rate: Calls per second; 0: one call after the other.
        gpu: Number of the GPU whose power is read.
    """
    images = np.stack([photo] * batch)
    for _ in range(WARM_UP):
        detector.detect_batch(images)
    before = ProcessUsage.of(os.getpid())
    with PowerMeter(gpu=gpu) as meter:
        times = _times(partial(detector.detect_batch, images), repeats, done, rate)
    after = ProcessUsage.of(os.getpid())
    speed = Speed(
        engine=detector.engine_name,
        kind=detector.engine_kind,
        precision=detector.precision,
        width=photo.shape[1],
        height=photo.shape[0],
        batch=batch,
        images=times.size * batch,
        **_summary(times, batch),
        cpu_ms=(after.cpu_seconds - before.cpu_seconds) / (times.size * batch) * 1e3,
        memory_mib=after.memory_mib,
        gpu_mib=_mebibytes(detector.memory_used()),
        watts=meter.watts(),
    )
    if detector.in_flight > 1 and not rate:
        speed = replace(speed, frames_per_s=images_per_second(detector, images, times.size))
    LOGGER.info("%s", speed)
    return speed


def _mebibytes(size: int | None) -> float | None:
    return None if size is None else size / 2**20


def _times(
    call: Callable[[], object], repeats: int, done: Callable[[], object], rate: float
) -> NDArray[np.float64]:
    """Return the milliseconds of each call, (rounds, calls); see `measure_speed`."""
    each = max(1, repeats // ROUNDS)
    if rate:
        return time_paced(call, ROUNDS, each, rate, done)
    return time_rounds({"": call}, ROUNDS, each, done)[""]


def images_per_second(detector: Detector, images: NDArray[np.uint8], calls: int) -> float:
    """Return the images per second of calls that are started before the ones before are done.

    Args:
        detector: Detector, which has detected in as many images before.
        images: Images of a call, (N, H, W, 3) uint8, bgr.
        calls: Number of calls.
    """
    running = deque(detector.start_batch(images) for _ in range(detector.in_flight))  # allocates their memory
    start = time.perf_counter()
    for _ in range(calls):
        running.append(detector.start_batch(images))
        running.popleft()()
    seconds = time.perf_counter() - start
    while running:
        running.popleft()()
    return calls * len(images) / seconds


def _summary(times: NDArray[np.float64], batch: int) -> dict[str, float]:
    """Return percentiles, rate and spread of times (rounds, calls) in milliseconds."""
    p50, p90, p99 = (float(p) for p in np.percentile(times, (50, 90, 99)))
    medians = np.median(times, axis=1)
    return {
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "frames_per_s": times.size * batch / times.sum() * 1e3,
        "spread": float(np.ptp(medians) / np.median(medians)),
    }


def resized(photo: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a photo, resized to (width, height) in pixels."""
    return np.asarray(cv2.resize(photo, size), np.uint8)


def bare_network(detector: Detector, threads: int) -> Callable[..., object]:
    """Return a function (pixels, channel order) that runs a detector's graph in a bare ONNX Runtime session.

    Args:
        detector: Detector with the card and the thresholds.
        threads: Number of CPU threads of the session; 0: all cores.
    """
    session = open_session(compose(load_network(detector.card), detector.card, only_filled=True), threads)
    rest = detector.thresholds.tensors
    return lambda pixels, order="bgr": session.run(
        None, {"image": pixels[None], "channel_order": CHANNEL_ORDERS[order], **rest}
    )


def time_inference(
    card: ModelCard, choice: EngineChoice, image: NDArray[np.uint8], repeats: int
) -> dict[str, Timing]:
    """Time the detector; for ONNX Runtime, time the bare session first."""
    with closing(open_detector(card, choice, [image])) as detector:
        calls: dict[str, Callable[[], object]] = {"Detector.detect": partial(detector.detect, image)}
        if choice.backend == "onnxruntime":
            calls = {"bare session": partial(bare_network(detector, choice.cpu_threads), image), **calls}
        return time_interleaved(calls, repeats)
