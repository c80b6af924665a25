"""Open a detector on one of the backends. A new engine gets a line in `REGISTRY`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.build_progress import BuildProgress, LoggedProgress
from trt_ssd_ros.engines.card_plans import PRECISIONS, CardPlans
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache, cache_folder
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network

LOGGER = logging.getLogger(__name__)
MOST_AT_ONCE = 8
"""Detectors on the CPU; each takes memory, and more of them outrun the threads that read and write images."""

Samples = Sequence[NDArray[np.uint8]]


class BackendMissingError(RuntimeError):
    """The library or the device of a backend is missing on this machine: says which, and how to get it."""


@dataclass(frozen=True)
class EngineChoice:
    """Backend, precision and build options of a detector.

    Attributes:
        backend: One of BACKENDS. `auto` is the first of REGISTRY whose library and device are there.
        precision: One of PRECISIONS, for TensorRT; ONNX Runtime takes the network as it is.
        build: Options that TensorRT's plans are built with.

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


@dataclass(frozen=True)
class Request:
    """Detectors to open; the fields are the arguments of `open_detector`.

    Attributes:
        most: Number of detectors to open at most; they may work at the same time.
    """

    card: ModelCard
    choice: EngineChoice
    samples: Samples
    progress: BuildProgress
    most: int = 1


def open_detector(
    card: ModelCard,
    choice: EngineChoice | None = None,
    samples: Samples = (),
    progress: BuildProgress | None = None,
) -> Detector:
    """Open a card's detector, building its plan if need be.

    Args:
        card: The detector's card.
        choice: Backend, precision and build options; None: the best that this machine has.
        samples: Images (H, W, 3) bgr in which `precision: auto` compares fp16 with fp32; without any it is fp32.
        progress: Receives how far a build is, and may cancel it.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        RuntimeError: The backend's library or its GPU is missing, or it cannot run the network.
    """
    with nullcontext(progress) if progress else LoggedProgress() as reporting:
        [detector] = _open(Request(card, choice or EngineChoice(), samples, reporting))
    return detector


def open_detectors(
    card: ModelCard, choice: EngineChoice, samples: Samples, progress: BuildProgress
) -> list[Detector]:
    """Open detectors that may work at the same time, each in a thread of its own: one on a GPU, on the CPU many.

    For many images this is faster than all cores on one image after the other, whose operators are too small to be
    shared well: 0.76 of the time on two cores. They share one session, which ONNX Runtime allows
    (https://onnxruntime.ai/docs/performance/tune-performance/threading.html).

    Args and Raises: see `open_detector`.
    """
    return _open(Request(card, choice, samples, progress, MOST_AT_ONCE))


def _open(request: Request) -> list[Detector]:
    """Open the chosen backend, or the first one whose library and device this machine has."""
    if request.choice.backend != "auto":
        return REGISTRY[request.choice.backend](request)
    *better, last = REGISTRY
    reasons = []
    for name in better:
        try:
            return REGISTRY[name](request)
        except BackendMissingError as reason:
            reasons.append(str(reason))
    LOGGER.warning("running on the CPU with ONNX Runtime: %s", "; ".join(reasons))
    return REGISTRY[last](request)


def _open_tensorrt(request: Request) -> list[Detector]:
    """Open one detector: an engine on a GPU belongs to one thread."""
    try:
        library, gpu = load_tensorrt(), Gpu.find()
    except RuntimeError as error:
        raise BackendMissingError(str(error)) from error
    choice = request.choice
    plans = CardPlans(request.card, library, gpu, choice.build, PlanCache(cache_folder()), request.progress)
    precision = choice.precision
    if precision == "auto":
        precision = plans.choose(request.samples) if request.samples else "fp32"
    return [plans.open_detector(precision)]


def _open_onnxruntime(request: Request) -> list[Detector]:
    """Open a detector for each core on one session; where one is enough it has all cores."""
    cores, card = len(os.sched_getaffinity(0)), request.card
    count = min(cores, request.most)
    shared = OnnxRuntimeEngine(compose(load_network(card), card), 0 if request.most == 1 else cores // count)
    return [Detector(shared, card) for _ in range(count)]


REGISTRY: Mapping[str, Callable[[Request], list[Detector]]] = {
    "tensorrt": _open_tensorrt,
    "onnxruntime": _open_onnxruntime,
}
"""Openers by the name of their backend, in the order in which `auto` tries them; the last one runs anywhere."""
BACKENDS = ("auto", *REGISTRY)
