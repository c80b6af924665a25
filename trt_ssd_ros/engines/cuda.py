"""The CUDA layer: one context, one stream, memory on both sides, graphs, and copies into pinned memory.

A CUDA context is bound to a thread, and one that is still bound when the process ends aborts it. So it is bound
only while it is used, one thread opens, uses and closes everything, and nothing relies on the garbage collector.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 256


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


@dataclass(frozen=True)
class Gpu:
    """What is known of a GPU before it is used.

    Attributes:
        name: Its product name.
        compute_capability: As "8.7".
        integrated: Whether it shares its memory with the CPU, as on Jetson.
    """

    name: str
    compute_capability: str
    integrated: bool

    @classmethod
    def find(cls) -> Gpu:
        """Describe the first GPU.

        Raises:
            RuntimeError: There is no pycuda, no driver or no GPU.
        """
        cuda = load_pycuda()
        device = _first_device(cuda)
        major, minor = device.compute_capability()
        return cls(device.name(), f"{major}.{minor}", bool(device.get_attribute(cuda.device_attribute.INTEGRATED)))


def _first_device(cuda: Any) -> Any:
    try:
        cuda.init()
        return cuda.Device(0)
    except cuda.Error as error:
        raise RuntimeError(f"no NVIDIA GPU answers: {error}") from error


class CudaDevice:
    """The first GPU, with its primary context and one stream.

    Attributes:
        gpu: What is known of it.
        stream: The stream that everything runs in.

    Raises:
        RuntimeError: There is no pycuda, no driver or no GPU.
    """

    def __init__(self) -> None:
        self._cuda = load_pycuda()
        self.gpu = Gpu.find()
        self._context = _first_device(self._cuda).retain_primary_context()
        with self.bound():
            self.stream = self._cuda.Stream()

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Bind the context to this thread for a while.

        Raises:
            RuntimeError: CUDA failed meanwhile; has its words.
        """
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self._cuda.MemoryError as error:
            raise RuntimeError(f"{self.gpu.name} is out of memory ({error}): what else runs on it?") from error
        except self._cuda.Error as error:
            raise RuntimeError(f"{self.gpu.name} failed: {error}") from error

    def memory_used(self) -> int:
        """Return the bytes of GPU memory in use, by everybody."""
        with self.bound():
            free, total = self._cuda.mem_get_info()
        return int(total - free)

    def close(self) -> None:
        """Release the context; further calls do nothing."""
        if self._context is not None:
            with self.bound():
                self.stream = None
            self._context.detach()
            self._context = None
            # pycuda binds the context once more to release it, and leaves it bound
            ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


class SharedMemory:
    """A block of pinned host memory with several tensors in it, and its like on the GPU.

    Where both share their memory, as on Jetson, it is one and the same block and nothing is copied.

    Args:
        device: Where the memory is; bound, as it must be for all that follows.
        tensors: Type and shape of each.

    Attributes:
        arrays: Views of the tensors in host memory, not to be used after `close`.
        addresses: Where the tensors are for the GPU.
    """

    def __init__(self, device: CudaDevice, tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> None:
        cuda = load_pycuda()
        sizes = [dtype.itemsize * prod(shape) for dtype, shape in tensors.values()]
        *starts, end = accumulate((_aligned(size) for size in sizes), initial=0)
        flags = cuda.host_alloc_flags.DEVICEMAP if device.gpu.integrated else 0
        self._cuda = cuda
        self._device = device
        self._host = cuda.pagelocked_empty(end, np.uint8, mem_flags=flags)
        self._allocation = None if device.gpu.integrated else cuda.mem_alloc(end)
        address = int(self._allocation or self._host.base.get_device_pointer())
        self.addresses = {name: address + start for name, start in zip(tensors, starts, strict=True)}
        self.arrays: dict[str, NDArray[Any]] = {
            name: self._host[start : start + size].view(dtype).reshape(shape)
            for (name, (dtype, shape)), start, size in zip(tensors.items(), starts, sizes, strict=True)
        }

    def upload(self) -> None:
        """Copy everything to the GPU, in stream order."""
        if self._allocation is not None:
            self._cuda.memcpy_htod_async(self._allocation, self._host, self._device.stream)

    def download(self) -> None:
        """Copy everything from the GPU, in stream order."""
        if self._allocation is not None:
            self._cuda.memcpy_dtoh_async(self._host, self._allocation, self._device.stream)

    def close(self) -> None:
        """Free both; further calls do nothing."""
        if self._host is not None:
            self.arrays.clear()
            host, self._host = self._host, None
            host.base.free()
            if self._allocation is not None:
                self._allocation.free()


def _aligned(size: int) -> int:
    """Round up to where TensorRT lets a tensor begin."""
    return -(-size // ALIGNMENT) * ALIGNMENT


_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: what other threads do meanwhile does not break the capture


class CaptureRefusedError(RuntimeError):
    """The driver does not capture or launch this work as a CUDA graph."""


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
            try:
                work()
            finally:
                self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0))
        finally:
            if graph:
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


def copy_images(target: NDArray[np.uint8], images: NDArray[np.uint8]) -> None:
    """Copy images (N, H, W, C) uint8, of whatever strides, into contiguous memory of this shape.

    OpenCV's own copy uses one core, its threshold all of them, and a threshold of 0 changes no uint8.
    """
    for place, image in zip(target, images, strict=True):
        cv2.threshold(image, 0, 255, cv2.THRESH_TOZERO, dst=place)
