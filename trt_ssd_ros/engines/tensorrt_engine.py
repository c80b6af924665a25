"""Run a plan on the GPU with TensorRT 8.5 to 11 or TensorRT for RTX."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from trt_ssd_ros.core.inference_engine import Tensors, TensorSpec, check_inputs
from trt_ssd_ros.engines.cuda_memory import CapturedWork, CudaDevice, SharedMemory
from trt_ssd_ros.engines.tensorrt_library import TensorRt

LOGGER = logging.getLogger(__name__)


class KernelStore(Protocol):
    """Keeps the kernels that TensorRT for RTX compiles when a plan is opened, from one start to the next."""

    def load(self) -> bytes:
        """Return what was saved last, or nothing."""

    def save(self, kernels: bytes) -> None:
        """Keep them."""


class TensorRtEngine:
    """A deserialised plan, its buffers, and the whole frame (upload, network, download) as one CUDA graph.

    The CUDA graph is captured anew when the shape of the images changes; where capture is refused, the same work
    is put into the stream piece by piece. Opened, used and closed by one thread.

    Args:
        plan: A serialised engine for this GPU and this TensorRT.
        library: TensorRT as it is installed here.
        capture: Whether to use a CUDA graph.
        kernels: Where compiled kernels are kept; used by TensorRT for RTX only.

    Raises:
        RuntimeError: There is no GPU, or TensorRT refuses the plan; has TensorRT's words.
    """

    def __init__(
        self, plan: bytes, library: TensorRt, capture: bool = True, kernels: KernelStore | None = None
    ) -> None:
        self._library = library
        self._may_capture = capture
        self._kernels = kernels
        self._resources = ExitStack()
        with self._resources:
            self._device = CudaDevice()
            self._resources.callback(self._device.close)
            with self._device.bound():
                self._resources.callback(self._drop_engine)
                self._open(plan)
            self._kept = self._resources.pop_all()
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._blocks: list[SharedMemory] = []
        self._graph: CapturedWork | None = None
        self._closed = False
        self.name = f"{library.flavour} {library.version} on {self._device.name}"

    def _open(self, plan: bytes) -> None:
        trt = self._library.module
        self._runtime_cache: Any = None
        self._runtime = trt.Runtime(self._library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._library.failure("refuses the plan")
        self._context = self._new_context()
        if self._context is None:
            raise self._library.failure("cannot make an execution context")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        specs = {name: self._spec(name) for name in names}
        inputs = {name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        self.inputs: Mapping[str, TensorSpec] = {name: specs[name] for name in names if name in inputs}
        self._outputs = {name: specs[name] for name in names if name not in inputs}

    def _new_context(self) -> Any:
        """Make an execution context whose kernels are compiled for the very shapes before they are captured."""
        engine = self._engine
        if not hasattr(engine, "create_runtime_config"):
            return engine.create_execution_context()
        runtime_config = engine.create_runtime_config()
        if hasattr(runtime_config, "dynamic_shapes_kernel_specialization_strategy"):
            strategies = self._library.module.DynamicShapesKernelSpecializationStrategy
            runtime_config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        if self._kernels is not None and hasattr(runtime_config, "create_runtime_cache"):
            self._runtime_cache = runtime_config.create_runtime_cache()
            self._runtime_cache.deserialize(self._kernels.load())
            runtime_config.set_runtime_cache(self._runtime_cache)
        return engine.create_execution_context(runtime_config)

    def _spec(self, name: str) -> TensorSpec:
        dtype = np.dtype(self._library.module.nptype(self._engine.get_tensor_dtype(name)))
        sizes = tuple(self._engine.get_tensor_shape(name))
        return TensorSpec(dtype, tuple(f"{name}[{axis}]" if n < 0 else n for axis, n in enumerate(sizes)))

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once; see `InferenceEngine.run`."""
        check_inputs(self.inputs, inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        with self._device.bound():
            if shapes != self._shapes:
                self._prepare(shapes)
            for name, array in inputs.items():
                np.copyto(self._uploads.arrays[name], array)
            if self._graph is not None:
                self._graph.launch()
            else:
                self._enqueue()
            self._device.stream.synchronize()
        return self._downloads.arrays

    def _prepare(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make everything ready for inputs of these shapes, and run once: kernels may only be compiled now."""
        self._release()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._library.failure(f"takes no {name} of shape {list(shape)}")
        self._uploads = self._bind(self.inputs, shapes)
        self._downloads = self._bind(
            self._outputs, {name: tuple(self._context.get_tensor_shape(name)) for name in self._outputs}
        )
        self._enqueue()
        self._device.stream.synchronize()
        if self._may_capture:
            self._capture()
        self._shapes = shapes

    def _bind(self, specs: Mapping[str, TensorSpec], shapes: Mapping[str, tuple[int, ...]]) -> SharedMemory:
        memory = SharedMemory(self._device, {name: (spec.dtype, shapes[name]) for name, spec in specs.items()})
        self._blocks.append(memory)
        for name, address in memory.addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise self._library.failure(f"takes no memory for {name}")
        return memory

    def _enqueue(self) -> None:
        """Put one frame's work into the stream."""
        self._uploads.upload()
        if not self._context.execute_async_v3(self._device.stream.handle):
            raise self._library.failure("failed to run")
        self._downloads.download()

    def _capture(self) -> None:
        try:
            self._graph = CapturedWork(self._device.stream, self._enqueue)
        except RuntimeError as error:
            self._may_capture = False
            LOGGER.warning("running without a CUDA graph: %s", error)

    def _release(self) -> None:
        """Free what belongs to one shape of images."""
        self._shapes = {}
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        while self._blocks:
            self._blocks.pop().close()

    def close(self) -> None:
        """Free the GPU in order: graph, memory, engine, CUDA context. Further calls do nothing."""
        if not self._closed:
            self._closed = True
            with self._kept, self._device.bound():
                self._release()

    def _drop_engine(self) -> None:
        with self._device.bound():
            self._context = self._engine = self._runtime = self._runtime_cache = None
