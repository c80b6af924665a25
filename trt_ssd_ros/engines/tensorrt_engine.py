"""Run a plan on the GPU with TensorRT 8.5 to 11 or TensorRT for RTX."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.core.inference_engine import Tensors, TensorSpec, check_inputs
from trt_ssd_ros.engines.cuda_memory import CapturedWork, CudaDevice, SharedMemory
from trt_ssd_ros.engines.tensorrt_library import TensorRt

LOGGER = logging.getLogger(__name__)


class TensorRtEngine:
    """A deserialised plan, its buffers, and the whole frame (upload, network, download) as one CUDA graph.

    The CUDA graph is captured anew when the shape of the images changes; where capture is refused, the same work
    is put into the stream piece by piece. Opened, used and closed by one thread.

    Args:
        plan: A serialised engine for this GPU and this TensorRT.
        library: TensorRT as it is installed here.
        capture: Whether to use a CUDA graph.

    Raises:
        RuntimeError: There is no GPU, or TensorRT refuses the plan; has TensorRT's words.
    """

    def __init__(self, plan: bytes, library: TensorRt, capture: bool = True) -> None:
        self._library = library
        self._may_capture = capture
        self._resources = ExitStack()
        with self._resources:
            self._device = CudaDevice()
            self._resources.callback(self._device.close)
            self._resources.callback(self._drop_engine)
            self._open(plan)
            self._kept = self._resources.pop_all()
        self._memory: dict[str, SharedMemory] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._graph: CapturedWork | None = None
        self.name = f"{library.flavour} {library.version} on {self._device.name}"

    def _open(self, plan: bytes) -> None:
        trt = self._library.module
        self._runtime = trt.Runtime(self._library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._library.failure("refuses the plan")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._library.failure("cannot make an execution context")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        specs = {name: self._spec(name) for name in names}
        inputs = {name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        self.inputs: Mapping[str, TensorSpec] = {name: specs[name] for name in names if name in inputs}
        self._outputs = {name: specs[name] for name in names if name not in inputs}

    def _spec(self, name: str) -> TensorSpec:
        dtype = np.dtype(self._library.module.nptype(self._engine.get_tensor_dtype(name)))
        sizes = tuple(self._engine.get_tensor_shape(name))
        return TensorSpec(dtype, tuple(f"{name}[{axis}]" if n < 0 else n for axis, n in enumerate(sizes)))

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once; see `InferenceEngine.run`."""
        check_inputs(self.inputs, inputs)
        if any(name not in self._arrays or self._arrays[name].shape != inputs[name].shape for name in inputs):
            self._prepare({name: array.shape for name, array in inputs.items()})
        for name, array in inputs.items():
            np.copyto(self._arrays[name], array)
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()
        self._device.stream.synchronize()
        return {name: self._arrays[name] for name in self._outputs}

    def _prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Make everything ready for inputs of these shapes, and run once: kernels may only be compiled now."""
        self._drop_graph()
        self._arrays.clear()  # should any of this fail, the next image prepares anew
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._library.failure(f"takes no {name} of shape {list(shape)}")
            self._bind(name, shape)
        for name in self._outputs:
            self._bind(name, tuple(self._context.get_tensor_shape(name)))
        self._enqueue()
        self._device.stream.synchronize()
        if self._may_capture:
            self._capture()

    def _bind(self, name: str, shape: tuple[int, ...]) -> None:
        dtype = (self.inputs.get(name) or self._outputs[name]).dtype
        size = prod(shape) * dtype.itemsize
        if name not in self._memory or self._memory[name].host.nbytes < size:
            if name in self._memory:
                self._memory.pop(name).close()
            self._memory[name] = SharedMemory(self._device, size)
        memory = self._memory[name]
        self._arrays[name] = memory.host[:size].view(dtype).reshape(shape)
        if not self._context.set_tensor_address(name, memory.address):
            raise self._library.failure(f"takes no memory for {name}")

    def _enqueue(self) -> None:
        """Put one frame's work into the stream."""
        for name in self.inputs:
            self._memory[name].upload(self._arrays[name].nbytes)
        if not self._context.execute_async_v3(self._device.stream.handle):
            raise self._library.failure("failed to run")
        for name in self._outputs:
            self._memory[name].download(self._arrays[name].nbytes)

    def _capture(self) -> None:
        try:
            self._graph = CapturedWork(self._device.stream, self._enqueue)
        except RuntimeError as error:
            self._may_capture = False
            LOGGER.warning("running without a CUDA graph: %s", error)

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def close(self) -> None:
        """Free the GPU in order: graph, buffers, engine, CUDA context. Further calls do nothing."""
        with self._kept:
            self._drop_graph()
            self._arrays.clear()
            while self._memory:
                self._memory.popitem()[1].close()

    def _drop_engine(self) -> None:
        self._context = self._engine = self._runtime = None
