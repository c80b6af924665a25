"""CardPlans: plans of one model card for this machine's GPU, and the choice of the precision."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.detection.agreement import half_precision_problems, has_greedy_nms
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.timing import time_interleaved
from trt_ssd_ros.engines.build_progress import BuildCancelledError, BuildProgress, LoggedProgress
from trt_ssd_ros.engines.child_process import ChildProcess
from trt_ssd_ros.engines.cuda import WAITS, CudaDevice, Gpu, selected
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.kernel_cache import KernelCache
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.plan_cache import Plan, PlanCache, PlanKey
from trt_ssd_ros.engines.tensorrt_engine import PlanRefusedError, TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import NO_TF32, TensorRt, load_tensorrt
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import is_quantized, load_network

LOGGER = logging.getLogger(__name__)
FIXED_PRECISIONS = ("fp32", "fp16")
PRECISIONS = ("auto", *FIXED_PRECISIONS)
TIMED_RUNS = 100


class CardPlans:
    """Plans of a card: builds, caches and opens them.

    Args:
        card: Model card of the detector.
        library: Installed TensorRT.
        gpu: GPU to build for and to run on.
        options: Build options.
        cache: Cache of the plans.
        progress: Receiver of the build progress, which may cancel the build.
        wait: How a thread waits for the GPU; one of WAITS.

    Raises:
        ModelCardError: The card's ONNX file is missing or is a different file.
    """

    def __init__(
        self,
        card: ModelCard,
        library: TensorRt,
        gpu: Gpu,
        options: BuildOptions,
        cache: PlanCache,
        progress: BuildProgress,
        wait: str = WAITS[0],
    ) -> None:
        self._card = card
        self._library = library
        self._gpu = gpu
        self._options = options
        self._cache = cache
        self._progress = progress
        self._wait = wait
        self._network = load_network(card)
        self._graphs: dict[str, onnx.ModelProto] = {}
        self._keys: dict[str, PlanKey] = {}
        self._plans: dict[str, Plan] = {}

    def graph(self, precision: str) -> onnx.ModelProto:
        """Return the composed graph in `fp32` or `fp16`.

        Raises:
            ModelCardError: The card does not fit its network.
        """
        if precision not in self._graphs:
            network = in_half_precision(self._network) if precision == "fp16" else self._network
            self._graphs[precision] = compose(network, self._card)
        return self._graphs[precision]

    def key(self, precision: str) -> PlanKey:
        """Return the key of a plan that is valid here."""
        if precision not in self._keys:
            self._keys[precision] = self._new_key(precision)
        return self._keys[precision]

    def _new_key(self, precision: str) -> PlanKey:
        content = self.graph(precision).SerializeToString(deterministic=True)
        return PlanKey(
            model=self._card.name,
            graph=hashlib.sha256(content).hexdigest(),
            flavour=self._library.flavour,
            version=self._library.version,
            gpu=self._gpu.name,
            compute_capability=self._gpu.compute_capability,
            precision=precision,
            options={**asdict(self._options), NO_TF32[0]: os.environ.get(NO_TF32[0])},
        )

    def path(self, precision: str) -> Path:
        """Return the path of a plan in the cache."""
        return self._cache.path(self.key(precision), ".plan")

    def kernels_path(self, precision: str) -> Path:
        """Return the path of a plan's compiled kernels for this GPU in the cache."""
        return self._cache.kernels_path(self.key(precision), self._gpu.pci_bus_id)

    def notes(self, precision: str) -> Mapping[str, Any]:
        """Return the metadata of a cached plan; empty if no plan is cached."""
        return self._cache.notes(self.key(precision))

    def choice(self) -> Mapping[str, Any]:
        """Return the measurements and the result of `choose`; empty if it has not run."""
        noted = self.notes("fp32").get("choice")
        return noted if isinstance(noted, dict) else {}

    def obtain(self, precision: str) -> Plan:
        """Return the cached plan; if there is none, build and cache it.

        Raises:
            BuildCancelledError: `progress` cancelled the build.
            RuntimeError: TensorRT cannot build the plan; the message has TensorRT's errors.
        """
        if precision not in self._plans:
            build = partial(self._build, precision)
            self._plans[precision] = self._cache.obtain(self.key(precision), build, self._progress)
        return self._plans[precision]

    def _build(self, precision: str) -> bytes:
        graph = self.graph(precision)
        with selected(self._gpu):
            return build_plan(graph, self._library, self._options, self._progress)

    def open(self, precision: str, capture: bool = True) -> TensorRtEngine:
        """Open the plan on the GPU and run it once, so that its kernels are compiled.

        If TensorRT refuses the plan, rebuild it once.

        Raises:
            RuntimeError: TensorRT cannot build the plan, or the GPU is out of memory.
        """
        try:
            return self._open(precision, capture)
        except PlanRefusedError as refusal:
            LOGGER.warning("rebuilding the plan: %s", refusal)
            self._cache.discard(self.key(precision))
            del self._plans[precision]
            return self._open(precision, capture)

    def _open(self, precision: str, capture: bool) -> TensorRtEngine:
        plan = self.obtain(precision)
        self._progress.report("opening the plan", None)
        kernels = KernelCache(self.kernels_path(precision), plan.content) if self._caches_kernels else None
        with ExitStack() as opened:
            computed_in = "int8" if is_quantized(self._network) else precision
            device = CudaDevice(self._gpu.index, self._wait)
            opened_plan = TensorRtEngine(plan.content, self._library, device, capture, kernels, computed_in)
            opened.callback(opened_plan.close)
            _, typical, _ = self._options.image_shapes()
            Detector(opened_plan, self._card).detect_batch(np.zeros(typical, np.uint8))
            opened.pop_all()
        return opened_plan

    @property
    def _caches_kernels(self) -> bool:
        """Whether TensorRT compiles kernels when it opens a plan, and can serialise them."""
        runtime_config = getattr(self._library.module, "IRuntimeConfig", None)
        return hasattr(runtime_config, "create_runtime_cache")

    def choose(self, samples: Sequence[NDArray[np.uint8]]) -> str:
        """Return the faster precision whose detections agree with fp32; measured once, then cached.

        For a quantized network it is fp32, which leaves the network's types unchanged.

        Args:
            samples: Images (H, W, 3) bgr to compare detections in; the first one is timed.
        """
        if is_quantized(self._network):
            return "fp32"
        key = self.key("fp32")
        noted = self.choice().get("precision")
        if noted in FIXED_PRECISIONS:
            return str(noted)
        with ExitStack() as opened:
            detectors: dict[str, Detector] = {}
            for name, background in (("fp32", self._compiling_in_background("fp16")), ("fp16", nullcontext())):
                with background:
                    detectors[name] = self.open_detector(name)
                    opened.callback(detectors[name].close)
            problems = half_precision_problems(detectors["fp16"], detectors["fp32"], samples)
            calls = {name: partial(detector.detect, samples[0]) for name, detector in detectors.items()}
            times = time_interleaved(calls, TIMED_RUNS)
        chosen = "fp32" if problems else min(times, key=lambda name: times[name].p50)
        choice = {"precision": chosen, "disagreements": problems, **{f"{n}_ms": t.p50 for n, t in times.items()}}
        LOGGER.info("precision auto: %s", choice)
        plan = self.obtain("fp32")
        self._cache.store(key, Plan(plan.content, {**plan.notes, "choice": choice}))
        return chosen

    def open_detector(self, precision: str, capture: bool = True) -> Detector:
        """Open the plan; see `detector`.

        Raises:
            RuntimeError: TensorRT cannot build the plan, or the GPU failed.
        """
        return self.detector(self.open(precision, capture))

    def detector(self, opened_plan: TensorRtEngine) -> Detector:
        """Return the detector of an opened plan; if the plan's NMS differs from greedy NMS, the host runs NMS.

        The host resizes if the plan takes no images larger than the network's input. More images than the plan
        takes, such as the tiles that a live parameter asks for, are divided.

        Raises:
            RuntimeError: The GPU failed; the engine is closed.
        """
        _, typical, _ = self._options.image_shapes()
        with ExitStack() as opened:
            opened.callback(opened_plan.close)
            host_nms = not has_greedy_nms(opened_plan, self._card, typical)
            opened.pop_all()
        detector, size = Detector(opened_plan, self._card, host_nms), self._card.input
        if self._options.max_image_side <= max(size.height, size.width):
            detector.resize_on = "host"
        detector.batch_sizes = (self._options.batch,)
        return detector

    @contextmanager
    def _compiling_in_background(self, precision: str) -> Iterator[None]:
        """Build a plan and compile its kernels in a child process, beside the body, if they can be cached.

        Within one process TensorRT for RTX compiles for one plan after the other, whatever the threads. TensorRT
        itself times kernels while it builds, so nothing else may run then.

        Raises:
            BuildCancelledError: `progress` cancelled the build.
        """
        kept = os.path.exists(self.kernels_path(precision))  # noqa: PTH110 - forbidden is missing
        if kept or not self._caches_kernels or not self._cache.is_writable():
            yield
            return
        call = partial(_open_once, self._card, self._gpu, self._options, self._cache.folder, precision)
        with ChildProcess(call, self._progress.cancelled) as child:
            yield
            self._progress.report(f"waiting for the child process that compiles the {precision} plan", None)
        if self._progress.cancelled():
            raise BuildCancelledError
        if child.exit_code:
            LOGGER.warning(
                "the child process that compiles the %s plan failed with exit code %d", precision, child.exit_code
            )


def _open_once(card: ModelCard, gpu: Gpu, options: BuildOptions, folder: Path, precision: str) -> None:
    """Build a plan and compile its kernels, so that both are cached."""
    plans = CardPlans(card, load_tensorrt(), gpu, options, PlanCache(folder), LoggedProgress())
    plans.open(precision).close()
