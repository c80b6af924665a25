"""The CUDA layer (pycuda): one context, one stream, memory on both sides, and work captured as a CUDA graph.

A CUDA context is bound to a thread, and one that is still bound when the process ends aborts it. So everything is
opened, used and closed by one thread, in the reverse order, and nothing relies on the garbage collector.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: what other threads do meanwhile does not break the capture


def load_pycuda() -> Any:
    """Return pycuda.driver.

    Raises:
        RuntimeError: pycuda is not installed, or finds no CUDA driver.
    """
    try:
        import pycuda.driver  # noqa: PLC0415 - only who asks for a GPU needs it
    except ImportError as error:
        raise RuntimeError(f"pycuda cannot be imported ({error}): pip install pycuda") from error
    return pycuda.driver


class CaptureRefusedError(RuntimeError):
    """The driver does not capture or launch this work as a CUDA graph."""


class CudaDevice:
    """The first GPU, with its primary context bound to this thread, and one stream.

    Attributes:
        name: The GPU's product name.
        compute_capability: Major and minor.
        integrated: Whether it shares its memory with the CPU, as on Jetson.
        stream: The stream that everything runs in.

    Raises:
        RuntimeError: There is no pycuda, no driver or no GPU.
    """

    def __init__(self) -> None:
        self._cuda = load_pycuda()
        try:
            self._cuda.init()
            device = self._cuda.Device(0)
        except self._cuda.Error as error:
            raise RuntimeError(f"no NVIDIA GPU answers: {error}") from error
        self.name: str = device.name()
        self.compute_capability: tuple[int, int] = device.compute_capability()
        self.integrated = bool(device.get_attribute(self._cuda.device_attribute.INTEGRATED))
        self._context = device.retain_primary_context()
        self._context.push()
        self.stream = self._cuda.Stream()

    def memory_used(self) -> int:
        """Return the bytes of GPU memory in use, by everybody."""
        free, total = self._cuda.mem_get_info()
        return int(total - free)

    def close(self) -> None:
        """Unbind and release the context; further calls do nothing."""
        if self._context is not None:
            self.stream = None
            self._context.pop()
            self._context.detach()
            self._context = None


class SharedMemory:
    """A block of pinned host memory and its like on the GPU; the same block where both share their memory.

    Args:
        device: Where the memory is.
        size: Bytes.
    """

    def __init__(self, device: CudaDevice, size: int) -> None:
        cuda = load_pycuda()
        flags = cuda.host_alloc_flags.DEVICEMAP if device.integrated else 0
        self.host: NDArray[np.uint8] = cuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
        self._host_allocation: Any = self.host.base
        self._allocation = None if device.integrated else cuda.mem_alloc(size)
        self._cuda = cuda
        self._stream = device.stream
        self.address = int(self._allocation or self._host_allocation.get_device_pointer())

    def upload(self, size: int) -> None:
        """Copy the first bytes to the GPU, in stream order."""
        if self._allocation is not None:
            self._cuda.memcpy_htod_async(self.address, self.host[:size], self._stream)

    def download(self, size: int) -> None:
        """Copy the first bytes from the GPU, in stream order."""
        if self._allocation is not None:
            self._cuda.memcpy_dtoh_async(self.host[:size], self.address, self._stream)

    def close(self) -> None:
        """Free both; further calls do nothing. Arrays that view `host` must not be used any more."""
        if self.address:
            self.address = 0
            if self._allocation is not None:
                self._allocation.free()
            self._host_allocation.free()


class CapturedWork:
    """Work that was put into a stream once and is launched as a whole: a CUDA graph.

    pycuda has no graph interface, so the driver library is called itself.

    Args:
        stream: The stream to capture.
        work: Puts the work into the stream.

    Raises:
        CaptureRefusedError: The work cannot be captured; it has not run.
    """

    def __init__(self, stream: Any, work: Callable[[], None]) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._stream = ctypes.c_void_p(stream.handle)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, _RELAXED)
        try:
            work()
        finally:
            self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Run the work in its stream."""
        self._call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Destroy the graph; further calls do nothing."""
        if self._executable:
            self._call("cuGraphExecDestroy", self._executable)
            self._executable = ctypes.c_void_p()

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._driver, function)(*arguments)
        if status:
            raise CaptureRefusedError(f"{function} failed: CUDA error {status}")
