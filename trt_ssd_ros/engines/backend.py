"""Backends: opens a detector on one of them. To add an engine, add a line to `REGISTRY`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from glob import glob
from importlib.util import find_spec

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detector import RESIZES_ON, Detector
from trt_ssd_ros.detection.engine import EngineUnavailableError
from trt_ssd_ros.engines.build_progress import BuildProgress, LoggedProgress
from trt_ssd_ros.engines.card_plans import PRECISIONS, CardPlans
from trt_ssd_ros.engines.cuda import WAITS, Gpu
from trt_ssd_ros.engines.fallback_engine import FallbackEngine
from trt_ssd_ros.engines.gpu_files import GPU_FILES
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime_engine
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache, cache_folder
from trt_ssd_ros.engines.remote_engine import RemoteEngine
from trt_ssd_ros.engines.remote_server import RemoteOptions, ServerRefusedError
from trt_ssd_ros.engines.tensorrt_engine import MAX_SIZES
from trt_ssd_ros.engines.tensorrt_library import FLAVOURS, load_tensorrt
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import batch_size, load_network

LOGGER = logging.getLogger(__name__)
MAX_CPU_DETECTORS = 8
"""Most detectors on the CPU: each takes memory, and more of them outrun the threads that read and write images."""
MAX_CONNECTIONS = 4
"""Most connections to a server: their requests overlap, and the server may run them in one batch."""
OPEN_TIMEOUT = 5.0
"""Deadline in seconds of the first requests to a server, which may still load its kernels."""
FOR_TENSORRT = ("precision", "gpu", "gpu_wait")
"""Fields of `EngineChoice` that the other backends ignore."""
COPY_THREADS = {"tensorrt": 4}
"""Most threads that copy or resize images, by backend, unless `cpu_threads` is given (docs/engines.md)."""
RESIZE_BANDS = {"tensorrt": 4}
"""Most bands in which the host resizes one image, by backend; each has two cores (docs/performance.md)."""
MAX_CPU_THREADS = 256
"""Largest number of CPU threads that can be asked for."""
MAX_GPU = 63
"""Largest number of a GPU that can be asked for."""

Samples = Sequence[NDArray[np.uint8]]


class BackendMissingError(RuntimeError):
    """Missing library or device of a backend; the message names it and says how to get it."""


@dataclass(frozen=True)
class EngineChoice:
    """Backend, precision, build options, CPU threads and resize of a detector.

    Attributes:
        backend: One of BACKENDS. `auto` takes the first of AUTOMATIC whose library and device are available.
        precision: One of PRECISIONS, for TensorRT only; ONNX Runtime runs the network unchanged.
        build: Build options of TensorRT plans.
        cpu_threads: Number of CPU threads of ONNX Runtime and of OpenCV; 0: all cores, or COPY_THREADS.
        resize_on: One of RESIZE_CHOICES. `auto` takes the one of RESIZES_ON that costs the backend less time.
        gpu: Number of the GPU, from 0; ONNX Runtime, which runs on the CPU, ignores it.
        gpu_wait: One of WAITS: how the thread of the engine waits for the GPU. To spin saves the wake-up of the
            thread, a tenth of the latency.
        remote: Server of the backend `remote`; other backends ignore it.
        mixed: Whether the images of a batch may differ in size; if the engine resizes, they run one by one.

    Raises:
        ValueError: The backend, the precision, the resize or the wait is unknown, or a number is out of range.
    """

    backend: str = "auto"
    precision: str = "auto"
    build: BuildOptions = field(default_factory=BuildOptions)
    cpu_threads: int = 0
    resize_on: str = "auto"
    gpu: int = 0
    gpu_wait: str = "block"
    remote: RemoteOptions = field(default_factory=RemoteOptions)
    mixed: bool = False

    def for_cameras(self, count: int) -> EngineChoice:
        """Return the choice for images of several cameras at once, which may differ in size."""
        return replace(self, build=replace(self.build, batch=count), mixed=count > 1)

    def for_views(self, count: int, images: int = 1) -> EngineChoice:
        """Return the choice for a number of images with some views each, in one batch.

        The host resizes several views, because they may differ in size.
        """
        build = replace(self.build, batch=count * images)
        return replace(self, build=build, resize_on="host" if count > 1 else self.resize_on)

    def __post_init__(self) -> None:
        for name, choices in NAMED_CHOICES.items():
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise ValueError(f"{name}: found {found!r}, expected one of {', '.join(choices)}")
        if not 0 <= self.cpu_threads <= MAX_CPU_THREADS:
            raise ValueError(
                f"cpu_threads: found {self.cpu_threads}, expected a whole number from 0 to {MAX_CPU_THREADS}"
            )
        if not 0 <= self.gpu <= MAX_GPU:
            raise ValueError(f"gpu: found {self.gpu}, expected a whole number from 0 to {MAX_GPU}")


@dataclass(frozen=True)
class Request:
    """Request for detectors; the other fields are the arguments of `open_detector`.

    Attributes:
        max_detectors: Most detectors to open; they may run concurrently.
    """

    card: ModelCard
    choice: EngineChoice
    samples: Samples
    progress: BuildProgress
    max_detectors: int = 1


def open_detector(
    card: ModelCard,
    choice: EngineChoice | None = None,
    samples: Samples = (),
    progress: BuildProgress | None = None,
) -> Detector:
    """Open a card's detector; if no valid plan is cached, build it.

    `cpu_threads` limits OpenCV in the whole process: it converts and draws images, and copies them to a GPU.

    Args:
        card: Model card of the detector.
        choice: Backend, precision and build options; None: the defaults, `auto`.
        samples: Images (H, W, 3) bgr in which `precision: auto` compares fp16 with fp32; empty: it is fp32.
        progress: Receiver of the build progress, which may cancel the build; None: the log.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        RuntimeError: The backend's library or GPU is missing, or the backend cannot run the network.
        ValueError: There are GPUs, but none with the number of the choice; the message lists them.
    """
    choice = choice or EngineChoice()
    with nullcontext(progress) if progress else LoggedProgress() as reporting:
        [detector] = _open(Request(card, choice, samples, reporting))
    cv2.setNumThreads(_host_threads(choice, detector.engine_kind, cv2.getNumThreads()))
    return detector


def open_detectors(
    card: ModelCard, choice: EngineChoice, samples: Samples, progress: BuildProgress
) -> list[Detector]:
    """Open detectors that may run concurrently, each in its own thread: one on a GPU, several on the CPU.

    For many images this is faster than all cores on one image after the other, whose operators are too small to
    parallelise well: it takes 0.76 of the time on two cores. The detectors share one session, as ONNX Runtime
    allows (https://onnxruntime.ai/docs/performance/tune-performance/threading.html).

    `cpu_threads` is the number of threads of all detectors together. It leaves OpenCV to the caller, whose threads
    call OpenCV at the same time.

    Args and Raises: see `open_detector`.
    """
    return _open(Request(card, choice, samples, progress, MAX_CPU_DETECTORS))


def _open(request: Request) -> list[Detector]:
    """Open the chosen backend, and set where and in how many threads its detectors resize images."""
    detectors, cores = _open_backend(request), len(os.sched_getaffinity(0))
    for detector in detectors:
        chosen = request.choice.resize_on
        # A server takes images of the network's size only.
        if chosen == "auto" or detector.engine_kind == "remote":
            chosen = CHEAPEST_RESIZE[detector.engine_kind]
        detector.resize_on = chosen
        threads = _host_threads(request.choice, detector.engine_kind, cores)
        detector.batch_resize.threads = max(1, min(threads, cores) // len(detectors))
        detector.batch_resize.bands = max(1, min(RESIZE_BANDS.get(detector.engine_kind, 1), cores // 2))
    return detectors


def _host_threads(choice: EngineChoice, kind: str, cores: int) -> int:
    """Return the number of threads that copy and resize images."""
    return choice.cpu_threads or min(cores, COPY_THREADS.get(kind, cores))


def _open_backend(request: Request) -> list[Detector]:
    """Open the chosen backend, or the first one whose library and device this machine has."""
    if request.choice.backend != "auto":
        return REGISTRY[request.choice.backend](request)
    *better, last = AUTOMATIC
    reasons = []
    for name in better:
        try:
            return REGISTRY[name](request)
        except BackendMissingError as reason:
            reasons.append(str(reason))
    if _expects_gpu():
        LOGGER.warning("running on the CPU with ONNX Runtime: %s", "; ".join(reasons))
    else:
        LOGGER.info("running on the CPU with ONNX Runtime: this machine shows no NVIDIA GPU")
    return REGISTRY[last](request)


def _expects_gpu() -> bool:
    """Return whether this machine shows an NVIDIA GPU, or TensorRT is installed for one, even if neither works."""
    return any(map(glob, GPU_FILES)) or any(map(find_spec, FLAVOURS))


def _open_tensorrt(request: Request) -> list[Detector]:
    """Open one detector, because an engine on a GPU belongs to one thread."""
    choice = request.choice
    try:
        library, gpu = load_tensorrt(), Gpu.find(choice.gpu)
    except RuntimeError as error:
        raise BackendMissingError(str(error)) from error
    cache, size = PlanCache(cache_folder()), request.card.input
    build = choice.build.for_images(size.height, size.width) if choice.resize_on == "host" else choice.build
    apart = choice.mixed and choice.resize_on != "host"
    if build.batch > 1 and (apart or batch_size(load_network(request.card), request.card) == 1):
        build = replace(build, batch=1)
    plans = CardPlans(request.card, library, gpu, build, cache, request.progress, choice.gpu_wait)
    precision = choice.precision
    if precision == "auto":
        precision = plans.choose(request.samples) if request.samples else "fp32"
    return [plans.open_detector(precision)]


def _open_onnxruntime(request: Request) -> list[Detector]:
    """Open one detector per thread on a shared session; a single detector uses all threads."""
    _warn_of_ignored(request.choice, "onnxruntime", "it runs the network unchanged on the CPU", precision="fp32")
    asked = request.choice.cpu_threads
    threads = asked or len(os.sched_getaffinity(0))
    count = min(threads, request.max_detectors)
    each = asked if request.max_detectors == 1 else threads // count
    shared = open_onnxruntime_engine(request.card, threads=each)
    return [Detector(shared, request.card) for _ in range(count)]


def _warn_of_ignored(choice: EngineChoice, backend: str, reason: str, precision: str = "") -> None:
    """Log which of FOR_TENSORRT were chosen for another backend; `precision` is the one that it has anyway."""
    for name in FOR_TENSORRT:
        if (found := getattr(choice, name)) not in (getattr(EngineChoice(), name), precision):
            LOGGER.warning("%s: found %s, but backend %s ignores it: %s", name, found, backend, reason)


def _open_remote(request: Request) -> list[Detector]:
    """Open detectors with a connection each; those that fall back share one session.

    Raises:
        ServerRefusedError: The server has another model, or refuses the token.
        EngineUnavailableError: The server does not answer, and no other engine replaces it.
    """
    choice, card = request.choice, request.card
    local = None
    if choice.remote.fallback != "none":
        local = open_onnxruntime_engine(card, threads=choice.cpu_threads)
    if choice.resize_on == "engine":
        LOGGER.warning("resize_on: found engine, but backend remote resizes on the host, so that little is sent")
    _warn_of_ignored(choice, "remote", "the server decides")
    with ExitStack() as opened:
        detectors = []
        for _ in range(min(MAX_CONNECTIONS, request.max_detectors)):
            remote = RemoteEngine(card, choice.remote)
            opened.callback(remote.close)
            batch = 1 if remote.inputs["image"].shape[0] == 1 else choice.build.batch
            fallback = FallbackEngine(remote, local, _problem(remote, batch, choice.remote.fallback), batch)
            opened.callback(fallback.close)  # it may probe the server in a thread
            detectors.append(Detector(fallback, card))
            if not detectors[-1].batch_sizes:
                detectors[-1].batch_sizes = (choice.build.batch,)  # more images at once are divided
        opened.pop_all()
    return detectors


def _problem(remote: RemoteEngine, batch: int, fallback: str) -> str:
    """Return why a server does not answer at the start, if another engine may replace it; empty if it answers."""
    try:
        remote.check(batch, OPEN_TIMEOUT)
    except ServerRefusedError:
        raise
    except EngineUnavailableError as error:
        if fallback == "none":
            raise
        return str(error)
    return ""


REGISTRY: Mapping[str, Callable[[Request], list[Detector]]] = {
    "tensorrt": _open_tensorrt,
    "onnxruntime": _open_onnxruntime,
    "remote": _open_remote,
}
"""Openers by backend name."""
AUTOMATIC = ("tensorrt", "onnxruntime")
"""Backends in the order in which `auto` tries them; the last one runs on any machine."""
BACKENDS = ("auto", *REGISTRY)
CHEAPEST_RESIZE: Mapping[str, str] = {"tensorrt": "engine", "onnxruntime": "host", "remote": "host"}
"""Where `resize_on: auto` resizes, by backend name: up to 1080p, a GPU resizes faster than the CPU."""
KEPT_SIZES: Mapping[str, int] = {"tensorrt": MAX_SIZES - 1}
"""Most image sizes that an engine resizes in turns, by backend name; others take no longer for a new size."""
RESIZE_CHOICES = ("auto", *RESIZES_ON)
NAMED_CHOICES: Mapping[str, Sequence[str]] = {
    "backend": BACKENDS,
    "precision": PRECISIONS,
    "resize_on": RESIZE_CHOICES,
    "gpu_wait": WAITS,
}
"""Values of the fields of `EngineChoice` that are names."""
