"""TensorRtEngine: runs a plan on the GPU with TensorRT 8.5 to 11 or TensorRT for RTX."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from trt_ssd_ros.detection.engine import IN_FLIGHT, Tensors, TensorSpec, check_inputs
from trt_ssd_ros.engines.cuda import CudaDevice, CudaGraph, Scratch, SharedMemory, copy_images, load_pycuda
from trt_ssd_ros.engines.kernel_cache import KernelCache, Shapes
from trt_ssd_ros.engines.locked_pages import LockedPages
from trt_ssd_ros.engines.plan_builder import IMAGE
from trt_ssd_ros.engines.tensorrt_library import TensorRt

LOGGER = logging.getLogger(__name__)
MAX_SIZES = 5
"""Most image sizes whose contexts and memory are kept: four of cameras, and the network's."""
OUT_OF_MEMORY = re.compile("out ?of ?memory|allocat", re.IGNORECASE)
"""TensorRT's wording of an out-of-memory error, which says nothing about the plan."""


class PlanRefusedError(RuntimeError):
    """Plan that TensorRT refuses."""


@dataclass
class _Slot:
    """Memory of one run in flight, its work as a CUDA graph, and the event at its end.

    Attributes:
        image: Memory of the images; its part on the host is not used while `source` is set.
        inputs: Memory of the other inputs.
        results: Memory of the outputs.
        end: CUDA event behind the run in the stream; None once the memory is freed.
        graph: CUDA graph of upload (but that of the images), network and download; None: they are enqueued step by
            step.
        source: Images of the caller that are uploaded from where they are, until the outputs are fetched.
        is_busy: Whether a run was started whose outputs are not fetched yet.
    """

    image: SharedMemory
    inputs: SharedMemory
    results: SharedMemory
    end: Any
    graph: CudaGraph | None = None
    source: Any = None
    is_busy: bool = False


@dataclass
class _Prepared:
    """Execution context for inputs of some shapes, and the slots of its runs in flight."""

    context: Any
    slots: list[_Slot]


class TensorRtEngine:
    """Deserialised plan, its memory, and a frame's work as one CUDA graph.

    Images are uploaded from where they are if their memory can be locked (see `LockedPages`), else they are copied
    to pinned memory before.

    Each shape of a batch has its own execution context and CUDA graph (upload of thresholds, network, download),
    because a graph is bound to the state of its context. They are made for the first batch of this shape, and kept
    until there are images of more than MAX_SIZES sizes. The contexts share their scratch memory where TensorRT
    allows it, because their work follows in one stream. If the driver refuses the capture, the work is enqueued
    step by step. One thread opens, uses and closes the engine.

    Runs in flight share the stream, so they follow each other on the GPU: while one runs, the host copies the
    inputs of the next one and reads the outputs of the one before. Each has its own memory and CUDA graph, made
    when a second run is started for the first time.

    Args:
        plan: Serialised engine for this GPU and this TensorRT.
        library: Installed TensorRT.
        device: GPU, closed with the engine.
        capture: Whether to use a CUDA graph.
        kernels: Cache of compiled kernels, for TensorRT for RTX only.
        precision: Precision of the network's arithmetic in the plan: `fp32`, `fp16` or `int8`.

    Raises:
        PlanRefusedError: TensorRT refuses the plan; the message has TensorRT's errors.
        RuntimeError: The GPU is out of memory, or failed.
    """

    kind = "tensorrt"

    def __init__(
        self,
        plan: bytes,
        library: TensorRt,
        device: CudaDevice,
        capture: bool = True,
        kernels: KernelCache | None = None,
        precision: str = "fp32",
    ) -> None:
        self.precision = precision
        self._library = library
        self._device = device
        self._may_capture = capture
        self._kernels = kernels
        self._memory = ExitStack()
        self._locked = LockedPages(device)
        self._prepared: dict[tuple[tuple[int, ...], ...], _Prepared] = {}
        self._scratch: Any = None
        self._newest: _Prepared | None = None
        self._closed = False
        self.name = f"{library.flavour} {library.version} on {device.gpu.name}"
        with ExitStack() as opened:
            opened.callback(self.close)
            with device.bound():
                self._open(plan)
            opened.pop_all()

    def _open(self, plan: bytes) -> None:
        trt = self._library.module
        self._library.clear_errors()
        self._runtime_cache: Any = None
        self._runtime_config: Any = None
        self._context: Any = None
        self._runtime = trt.Runtime(self._library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            refusal = self._library.failure("refuses the plan")
            raise refusal if OUT_OF_MEMORY.search(str(refusal)) else PlanRefusedError(str(refusal))
        self._context = self._new_context()
        if self._context is None:
            raise self._library.failure("cannot create an execution context")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        specs = {name: self._spec(name) for name in names}
        inputs = {name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        self.inputs: Mapping[str, TensorSpec] = {name: specs[name] for name in names if name in inputs}
        self._outputs = {name: specs[name] for name in names if name not in inputs}

    def _new_context(self) -> Any:
        """Create an execution context that compiles kernels for the exact shapes before the capture."""
        engine = self._engine
        if not hasattr(engine, "create_runtime_config"):
            return engine.create_execution_context()
        if self._runtime_config is None:
            self._runtime_config = self._new_runtime_config()
        return engine.create_execution_context(self._runtime_config)

    def _new_runtime_config(self) -> Any:
        runtime_config = self._engine.create_runtime_config()
        if hasattr(runtime_config, "dynamic_shapes_kernel_specialization_strategy"):
            strategies = self._library.module.DynamicShapesKernelSpecializationStrategy
            runtime_config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        if self._kernels is not None and hasattr(runtime_config, "create_runtime_cache"):
            self._runtime_cache = runtime_config.create_runtime_cache()
            kept = self._kernels.load()
            if kept and not self._runtime_cache.deserialize(kept):
                LOGGER.warning("the cached kernels are for another GPU or TensorRT: recompiling them")
                self._kernels.clear()
            runtime_config.set_runtime_cache(self._runtime_cache)
        if hasattr(runtime_config, "set_execution_context_allocation_strategy"):
            allocation = self._library.module.ExecutionContextAllocationStrategy
            runtime_config.set_execution_context_allocation_strategy(allocation.USER_MANAGED)
        return runtime_config

    def _spec(self, name: str) -> TensorSpec:
        trt = self._library.module
        dtypes = {trt.DataType.UINT8: np.uint8, trt.DataType.INT32: np.int32, trt.DataType.FLOAT: np.float32}
        dtype = np.dtype(dtypes[self._engine.get_tensor_dtype(name)])
        sizes = tuple(self._engine.get_tensor_shape(name))
        return TensorSpec(dtype, tuple(f"{name}[{axis}]" if n < 0 else n for axis, n in enumerate(sizes)))

    @property
    def layer_count(self) -> int:
        """Number of layers in the plan."""
        return int(self._engine.num_layers)

    def memory_used(self) -> int:
        """Return the bytes of GPU memory in use by all processes.

        Raises:
            RuntimeError: The GPU failed.
        """
        return self._device.memory_used()

    @property
    def is_captured(self) -> bool:
        """Whether the work of the newest shapes is a CUDA graph."""
        return self._newest is not None and any(slot.graph is not None for slot in self._newest.slots)

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once; see `InferenceEngine.run`."""
        with self._device.bound():
            return self._await(self._launch(inputs))

    def start(self, inputs: Tensors) -> Callable[[], Tensors]:
        """Start to run the graph; see `AsynchronousEngine.start`."""
        with self._device.bound():
            slot = self._launch(inputs)
        return partial(self._fetch, slot)

    def _launch(self, inputs: Tensors) -> _Slot:
        """Start a run in a free slot."""
        check_inputs(self.inputs, inputs)
        key = self._key(inputs)
        prepared = self._newest = self._prepared.get(key) or self._prepare(key)
        slot, images = self._free_slot(prepared), inputs[IMAGE]
        for name, array in slot.inputs.arrays.items():
            np.copyto(array, inputs[name])
        slot.source = images if self._locked.hold(images) else None
        if slot.source is None:
            copy_images(slot.image.arrays[IMAGE], images)
        slot.image.upload(slot.source)
        if slot.graph is not None:
            slot.graph.launch()
        else:
            self._bind(prepared.context, slot)
            self._enqueue(prepared.context, slot)
        slot.end.record(self._device.stream)
        slot.is_busy = True
        return slot

    def _fetch(self, slot: _Slot) -> Tensors:
        """Wait for a run that `start` started, and return its outputs."""
        if slot.end is None:
            raise RuntimeError("the engine was closed before the outputs of this run were fetched")
        with self._device.bound():
            return self._await(slot)

    @staticmethod
    def _await(slot: _Slot) -> Tensors:
        slot.is_busy = False
        slot.end.synchronize()
        slot.source = None
        return slot.results.arrays

    def _key(self, inputs: Tensors) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the inputs, in the order of the property `inputs`."""
        return tuple(inputs[name].shape for name in self.inputs)

    def _free_slot(self, prepared: _Prepared) -> _Slot:
        """Return a slot without a run in flight; if needed, add one."""
        for slot in prepared.slots:
            if not slot.is_busy:
                return slot
        if len(prepared.slots) == IN_FLIGHT:
            raise RuntimeError(f"found {IN_FLIGHT} runs in flight: fetch the outputs of one before the next start")
        slot = self._new_slot(prepared.context)
        prepared.slots.append(slot)
        return slot

    def gpu_time(self, runs: int = 100) -> float:
        """Return the milliseconds per frame, with upload and download, when frames are launched back to back.

        Raises:
            RuntimeError: No CUDA graph is captured.
        """
        slot = self._newest.slots[0] if self._newest is not None else None
        if slot is None or slot.graph is None:
            raise RuntimeError("no CUDA graph is captured: run an image first, with capture enabled")
        with self._device.bound():
            start = time.perf_counter()
            for _ in range(runs):
                slot.image.upload()
                slot.graph.launch()
            self._device.stream.synchronize()
        return (time.perf_counter() - start) / runs * 1e3

    def _prepare(self, key: tuple[tuple[int, ...], ...]) -> _Prepared:
        """Make a context for inputs of these shapes, allocate memory, and run once."""
        shapes = dict(zip(self.inputs, key, strict=True))
        for name, shape in shapes.items():
            self._check_profile(name, shape)
        image = list(self.inputs).index(IMAGE)
        if len({prepared[image][1:] for prepared in (*self._prepared, key)}) > MAX_SIZES:
            self._release_prepared()
        context = self._context if not self._prepared else self._new_context()
        if context is None:
            raise self._library.failure("cannot create an execution context")
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise self._library.failure(f"rejects shape {list(shape)} of input {name}")
        if hasattr(self._runtime_config, "set_execution_context_allocation_strategy"):
            self._set_scratch(context)
        prepared = _Prepared(context, [self._new_slot(context)])
        self._keep_kernels(shapes)
        self._prepared[key] = prepared
        return prepared

    def _set_scratch(self, context: Any) -> None:
        """Give a context its scratch memory: the newest allocation if it is large enough, else a new one.

        Older ones stay, because the CUDA graphs of other contexts use them.
        """
        size = context.update_device_memory_size_for_shapes()
        if self._scratch is None or self._scratch.size < size:
            self._scratch = Scratch(size)
            self._memory.callback(self._scratch.close)
        context.set_device_memory(self._scratch.address, self._scratch.size)

    def _new_slot(self, context: Any) -> _Slot:
        """Allocate a slot and run once, because kernels may be compiled only now; then capture its work."""
        image, others, results = (
            self._share({name: tuple(context.get_tensor_shape(name)) for name in names})
            for names in ((IMAGE,), self.inputs.keys() - {IMAGE}, self._outputs)
        )
        slot = _Slot(image, others, results, self._device.new_event())
        self._bind(context, slot)
        slot.image.upload()
        self._enqueue(context, slot)
        self._device.stream.synchronize()
        if self._may_capture:
            self._capture(context, slot)
        return slot

    def _check_profile(self, name: str, shape: tuple[int, ...]) -> None:
        if -1 in self._engine.get_tensor_shape(name):
            least, _, most = (tuple(s) for s in self._engine.get_tensor_profile_shape(name, 0))
            if not all(low <= n <= high for low, n, high in zip(least, shape, most, strict=True)):
                bounds = f"{list(least)} to {list(most)}, the range of this plan"
                raise ValueError(f"input {name}: found {list(shape)}, expected {bounds}")

    def _share(self, shapes: Shapes) -> SharedMemory:
        specs = {**self.inputs, **self._outputs}
        memory = SharedMemory(self._device, {name: (specs[name].dtype, shape) for name, shape in shapes.items()})
        self._memory.callback(memory.close)
        return memory

    def _bind(self, context: Any, slot: _Slot) -> None:
        """Make the next work that is enqueued use the memory of a slot."""
        for name, address in {**slot.image.addresses, **slot.inputs.addresses, **slot.results.addresses}.items():
            if not context.set_tensor_address(name, address):
                raise self._library.failure(f"rejects the memory for {name}")

    def _enqueue(self, context: Any, slot: _Slot) -> None:
        """Enqueue one frame's work behind the upload of its images, on the memory of the slot that is bound."""
        slot.inputs.upload()
        if not context.execute_async_v3(self._device.stream.handle):
            raise self._library.failure("failed to run")
        slot.results.download()

    def _capture(self, context: Any, slot: _Slot) -> None:
        try:
            graph = CudaGraph(self._device.stream, partial(self._enqueue, context, slot))
        except (RuntimeError, load_pycuda().Error) as error:
            self._may_capture = False
            LOGGER.warning("running without a CUDA graph: %s", error)
        else:
            slot.graph = graph
            self._memory.callback(graph.close)

    def _keep_kernels(self, shapes: Shapes) -> None:
        """Store the kernels for these shapes, only once because TensorRT for RTX leaks what it serialises."""
        if self._kernels is None or self._runtime_cache is None or self._kernels.holds(shapes):
            return
        serialized = self._runtime_cache.serialize()
        if serialized is not None:
            self._kernels.save(bytes(serialized), shapes)

    def _release_prepared(self) -> None:
        """Free the resources of all shapes, for one image size more.

        Raises:
            RuntimeError: Runs are in flight.
        """
        if any(slot.is_busy for prepared in self._prepared.values() for slot in prepared.slots):
            raise RuntimeError("found runs in flight: fetch their outputs before a start with another image size")
        self._release()

    def _release(self) -> None:
        """Free the resources of all shapes, once the GPU is done: CUDA graphs, memory, then contexts."""
        slots = [slot for prepared in self._prepared.values() for slot in prepared.slots]
        if any(slot.is_busy for slot in slots):
            self._device.stream.synchronize()
        for slot in slots:
            slot.end = slot.graph = slot.source = None
        self._locked.close()
        self._memory.close()
        self._newest = self._scratch = None
        self._prepared.clear()

    def close(self) -> None:
        """Free graph, memory, engine and CUDA context, in this order. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._device.bound():
                self._release()
                self._context = self._runtime_config = self._runtime_cache = None
                self._engine = self._runtime = None
            self._device.close()
        except RuntimeError as error:  # a failed GPU keeps failing, and is freed when the process ends
            LOGGER.error("cannot close the engine: %s", error)
