"""TensorRtEngine: runs a plan on the GPU with TensorRT 8.5 to 11 or TensorRT for RTX."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from trt_ssd_ros.detection.engine import Tensors, TensorSpec, check_inputs
from trt_ssd_ros.engines.cuda import CudaDevice, CudaGraph, SharedMemory, copy_images, load_pycuda
from trt_ssd_ros.engines.kernel_cache import KernelCache, Shapes
from trt_ssd_ros.engines.plan_builder import IMAGE
from trt_ssd_ros.engines.tensorrt_library import TensorRt

LOGGER = logging.getLogger(__name__)
OUT_OF_MEMORY = re.compile("out ?of ?memory|allocat", re.IGNORECASE)
"""TensorRT's wording of an out-of-memory error, which says nothing about the plan."""


class PlanRefusedError(RuntimeError):
    """Plan that TensorRT refuses."""


class TensorRtEngine:
    """Deserialised plan, its memory, and a frame's work as one CUDA graph.

    When the image shape changes, the CUDA graph (upload from pinned memory, network, download) is captured again.
    If the driver refuses the capture, the work is enqueued step by step. One thread opens, uses and closes the
    engine.

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
        self._shapes: Shapes = {}
        self._memory = ExitStack()
        self._graph: CudaGraph | None = None
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
        runtime_config = engine.create_runtime_config()
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
        return engine.create_execution_context(runtime_config)

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

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once; see `InferenceEngine.run`."""
        check_inputs(self.inputs, inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        with self._device.bound():
            if shapes != self._shapes:
                self._prepare(shapes)
            for name, array in self._inputs.arrays.items():
                (copy_images if name == IMAGE else np.copyto)(array, inputs[name])
            if self._graph is not None:
                self._graph.launch()
            else:
                self._enqueue()
            self._device.stream.synchronize()
        return self._results.arrays

    def gpu_time(self, runs: int = 100) -> float:
        """Return the milliseconds per frame, with upload and download, when frames are launched back to back.

        Raises:
            RuntimeError: No CUDA graph is captured.
        """
        if self._graph is None:
            raise RuntimeError("no CUDA graph is captured: run an image first, with capture enabled")
        with self._device.bound():
            start = time.perf_counter()
            for _ in range(runs):
                self._graph.launch()
            self._device.stream.synchronize()
        return (time.perf_counter() - start) / runs * 1e3

    def _prepare(self, shapes: Shapes) -> None:
        """Allocate memory for inputs of these shapes, and run once, because kernels may be compiled only now."""
        for name, shape in shapes.items():
            self._check_profile(name, shape)
        self._release()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._library.failure(f"rejects shape {list(shape)} of input {name}")
        self._inputs = self._share(shapes)
        self._results = self._share({name: tuple(self._context.get_tensor_shape(name)) for name in self._outputs})
        self._bind({**self._inputs.addresses, **self._results.addresses})
        self._enqueue()
        self._device.stream.synchronize()
        if self._may_capture:
            self._capture()
        self._keep_kernels(shapes)
        self._shapes = shapes

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

    def _bind(self, addresses: Mapping[str, int]) -> None:
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise self._library.failure(f"rejects the memory for {name}")

    def _enqueue(self) -> None:
        """Enqueue one frame's work in the stream."""
        self._inputs.upload()
        if not self._context.execute_async_v3(self._device.stream.handle):
            raise self._library.failure("failed to run")
        self._results.download()

    def _capture(self) -> None:
        try:
            self._graph = CudaGraph(self._device.stream, self._enqueue)
        except (RuntimeError, load_pycuda().Error) as error:
            self._may_capture = False
            LOGGER.warning("running without a CUDA graph: %s", error)
        else:
            self._memory.callback(self._graph.close)

    def _keep_kernels(self, shapes: Shapes) -> None:
        """Store the kernels for these shapes, only once because TensorRT for RTX leaks what it serialises."""
        if self._kernels is None or self._runtime_cache is None or self._kernels.holds(shapes):
            return
        serialized = self._runtime_cache.serialize()
        if serialized is not None:
            self._kernels.save(bytes(serialized), shapes)

    def _release(self) -> None:
        """Free the resources of the current image shape: the CUDA graph, then the memory."""
        self._shapes = {}
        self._graph = None
        self._memory.close()

    def close(self) -> None:
        """Free graph, memory, engine and CUDA context, in this order. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._device.bound():
                self._release()
                self._context = self._engine = self._runtime_cache = self._runtime = None
            self._device.close()
        except RuntimeError as error:  # a failed GPU keeps failing, and is freed when the process ends
            LOGGER.error("cannot close the engine: %s", error)
