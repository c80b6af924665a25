"""Open a detector on one of the backends."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.build_progress import BuildProgress, LoggedProgress
from trt_ssd_ros.engines.card_plans import PRECISIONS, CardPlans
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_onnxruntime
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache, cache_folder
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network

LOGGER = logging.getLogger(__name__)
BACKENDS = ("auto", "tensorrt", "onnxruntime")
MOST_AT_ONCE = 8
"""Detectors on the CPU; each takes memory, and more would outrun whoever reads and writes the images."""


@dataclass(frozen=True)
class EngineChoice:
    """What runs the network, and how.

    Attributes:
        backend: One of BACKENDS. `auto` is TensorRT where it is installed and a GPU answers, else ONNX Runtime.
        precision: One of PRECISIONS, for TensorRT; ONNX Runtime takes the network as it is.
        build: What TensorRT's plans are built for.

    Raises:
        ValueError: There is no such backend or precision.
    """

    backend: str = "auto"
    precision: str = "auto"
    build: BuildOptions = field(default_factory=BuildOptions)

    def __post_init__(self) -> None:
        for name, choices in (("backend", BACKENDS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise ValueError(f"{name}: found {found!r}, expected one of {', '.join(choices)}")


def open_detector(
    card: ModelCard,
    choice: EngineChoice = EngineChoice(),
    samples: Sequence[NDArray[np.uint8]] = (),
    progress: BuildProgress | None = None,
) -> Detector:
    """Open a card's detector, building its plan if need be.

    Args:
        card: The detector's card.
        choice: What runs it, and how.
        samples: Images (H, W, 3) bgr in which `precision: auto` compares fp16 with fp32; without any it is fp32.
        progress: Told how far a build is, and asked whether to go on.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        RuntimeError: The backend's library or its GPU is missing, or it cannot run the network.
    """
    with nullcontext(progress) if progress else LoggedProgress() as told:
        detector = _open_on_gpu(card, choice, samples, told)
    return detector or open_onnxruntime(card)


def open_detectors(
    card: ModelCard, choice: EngineChoice, samples: Sequence[NDArray[np.uint8]], progress: BuildProgress
) -> list[Detector]:
    """Open detectors that may work at the same time, each in a thread of its own: one on a GPU, on the CPU many.

    For many images this is faster than all cores on one image after the other, whose operators are too small to be
    shared well: 0.76 of the time on two cores. They share one session, which ONNX Runtime allows
    (https://onnxruntime.ai/docs/performance/tune-performance/threading.html).

    Args and Raises: see `open_detector`.
    """
    detector = _open_on_gpu(card, choice, samples, progress)
    if detector:
        return [detector]
    cores = len(os.sched_getaffinity(0))
    count = min(cores, MOST_AT_ONCE)
    shared = OnnxRuntimeEngine(compose(load_network(card), card), cores // count)
    return [Detector(shared, card) for _ in range(count)]


def _open_on_gpu(
    card: ModelCard, choice: EngineChoice, samples: Sequence[NDArray[np.uint8]], progress: BuildProgress
) -> Detector | None:
    """Open TensorRT if it was chosen, or is there to be chosen."""
    if choice.backend == "onnxruntime":
        return None
    try:
        library, gpu = load_tensorrt(), Gpu.find()
    except RuntimeError as reason:
        if choice.backend == "tensorrt":
            raise
        LOGGER.warning("running on the CPU with ONNX Runtime: %s", reason)
        return None
    plans = CardPlans(card, library, gpu, choice.build, PlanCache(cache_folder()), progress)
    precision = choice.precision
    if precision == "auto":
        precision = plans.choose(samples) if samples else "fp32"
    return plans.open_detector(precision)
