"""CUDA layer: one context, one stream, host and device memory, graphs, and copies into pinned memory.

A CUDA context is bound to a thread. If a context is still bound when the process ends, the process aborts. So it
is bound only while in use, one thread opens, uses and closes everything, and nothing relies on the garbage
collector.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 256
WAITS = ("spin", "block")
"""How a thread waits for a GPU: it spins on a core, or sleeps until the driver wakes it."""


def load_pycuda() -> Any:
    """Return pycuda.driver.

    Raises:
        RuntimeError: pycuda is not installed, or finds no CUDA driver.
    """
    try:
        import pycuda.driver  # noqa: PLC0415 - only a GPU backend needs it
    except ImportError as error:
        raise RuntimeError(f"pycuda cannot be imported ({error}): pip install pycuda") from error
    return pycuda.driver


@dataclass(frozen=True)
class Gpu:
    """Description of a GPU, available before the GPU is used.

    Attributes:
        name: Product name.
        compute_capability: CUDA compute capability, as "8.7".
        integrated: Whether the GPU shares its memory with the CPU, as on Jetson.
        index: Number of the GPU, from 0, in the order of CUDA (see CUDA_DEVICE_ORDER).
        memory: Size of its memory in bytes.
        pci_bus_id: Address on the PCI bus, as "0000:01:00.0", which no other GPU of this machine has.
    """

    name: str
    compute_capability: str
    integrated: bool
    index: int = 0
    memory: int = 0
    pci_bus_id: str = ""

    def __str__(self) -> str:
        return f"GPU {self.index}: {self.name}, {self.memory >> 20} MiB"

    @classmethod
    def find(cls, index: int = 0) -> Gpu:
        """Describe a GPU.

        Raises:
            RuntimeError: pycuda, the driver or every GPU is missing.
            ValueError: There are GPUs, but none with this number; the message lists them.
        """
        gpus = cls.find_all()
        if not 0 <= index < len(gpus):
            raise ValueError(f"gpu: found {index}, expected one of these: {'; '.join(map(str, gpus))}")
        return gpus[index]

    @classmethod
    def find_all(cls) -> list[Gpu]:
        """Describe all GPUs, at least one.

        Raises:
            RuntimeError: pycuda, the driver or every GPU is missing.
        """
        cuda = load_pycuda()
        try:
            cuda.init()
            gpus = [cls._describe(cuda, index) for index in range(cuda.Device.count())]
        except cuda.Error as error:
            raise RuntimeError(f"no NVIDIA GPU is available: {error}") from error
        if not gpus:
            raise RuntimeError("no NVIDIA GPU is available: the driver shows none")
        return gpus

    @classmethod
    def _describe(cls, cuda: Any, index: int) -> Gpu:
        device = cuda.Device(index)
        major, minor = device.compute_capability()
        integrated = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
        capability, bus = f"{major}.{minor}", device.pci_bus_id()
        return cls(device.name(), capability, integrated, index, device.total_memory(), bus)


@contextmanager
def selected(gpu: Gpu) -> Iterator[None]:
    """Make libraries on the CUDA runtime, such as TensorRT's builder, use a GPU in this thread during the body.

    They use the GPU whose context is bound, and the first one if none is bound.

    Raises:
        RuntimeError: The GPU failed.
    """
    if gpu.index == 0:
        yield
        return
    with closing(CudaDevice(gpu.index)) as device, device.bound():
        yield


class CudaDevice:
    """A GPU, with its primary context and one stream.

    Args:
        index: Number of the GPU; see `Gpu`.
        wait: One of WAITS, for the events of `new_event`.

    Attributes:
        gpu: Description of the GPU.
        stream: CUDA stream of all work.

    Raises:
        RuntimeError: pycuda, the driver or every GPU is missing.
        ValueError: There are GPUs, but none with this number.
    """

    def __init__(self, index: int = 0, wait: str = "spin") -> None:
        self._cuda = load_pycuda()
        self.gpu = Gpu.find(index)
        self._wait = wait
        self._context = self._cuda.Device(index).retain_primary_context()
        with self.bound():
            self.stream = self._cuda.Stream()

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Bind the context to this thread during the body.

        Raises:
            RuntimeError: A CUDA call in the body failed; the message has CUDA's error.
        """
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self._cuda.MemoryError as error:
            raise RuntimeError(
                f"{self.gpu.name} is out of memory ({error}): stop other processes that use it"
            ) from error
        except self._cuda.Error as error:
            raise RuntimeError(f"{self.gpu.name} failed: {error}") from error

    def new_event(self) -> Any:
        """Return a CUDA event, to record in a stream and to wait for; the context must be bound.

        The event itself says how a thread waits for it (cuEventSynchronize in CUDA's driver API). Flags of the
        primary context are not used, because other libraries in the process share that context.
        """
        flags = self._cuda.event_flags.DISABLE_TIMING
        if self._wait == "block":
            flags |= self._cuda.event_flags.BLOCKING_SYNC
        return self._cuda.Event(flags)

    def memory_used(self) -> int:
        """Return the memory of this GPU in use by all processes, in bytes."""
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
            # pycuda binds the context again to release it, and leaves it bound
            ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


class SharedMemory:
    """Block of pinned host memory that holds several tensors, and its counterpart on the GPU.

    If GPU and CPU share their memory, as on Jetson, both are one block and nothing is copied.

    Args:
        device: Device of the memory; its context must be bound here and in all methods.
        tensors: Type and shape of each tensor by name.

    Attributes:
        arrays: Host views of the tensors by name, invalid after `close`.
        addresses: GPU addresses of the tensors by name.
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

    def upload(self, source: NDArray[Any] | None = None) -> None:
        """Enqueue a copy of all tensors to the GPU.

        Args:
            source: Page-locked memory to copy the only tensor from, in place of its host view; contiguous.
        """
        if self._allocation is not None:
            host = self._host if source is None else source
            self._cuda.memcpy_htod_async(self._allocation, host, self._device.stream)

    def download(self) -> None:
        """Enqueue a copy of all tensors from the GPU."""
        if self._allocation is not None:
            self._cuda.memcpy_dtoh_async(self._host, self._allocation, self._device.stream)

    def close(self) -> None:
        """Free both blocks; further calls do nothing."""
        if self._host is not None:
            self.arrays.clear()
            host, self._host = self._host, None
            host.base.free()
            if self._allocation is not None:
                self._allocation.free()


class Scratch:
    """Memory on the GPU for intermediate results.

    Args:
        size: Size in bytes; the context of the device must be bound here and in `close`.

    Attributes:
        size: Size in bytes.
        address: GPU address, aligned to at least 256 bytes (CUDA C++ Programming Guide, Device Memory Accesses).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._allocation = load_pycuda().mem_alloc(max(size, 1))
        self.address = int(self._allocation)

    def close(self) -> None:
        """Free the memory; further calls do nothing."""
        if self._allocation is not None:
            self._allocation.free()
            self._allocation = None


def _aligned(size: int) -> int:
    """Round a size in bytes up to TensorRT's tensor alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: CUDA calls of other threads do not break the capture


class CaptureRefusedError(RuntimeError):
    """Driver error while work is captured or launched as a CUDA graph."""


class CudaGraph:
    """CUDA graph: work captured from a stream once and launched as a whole.

    pycuda has no graph interface, so this class calls the driver library.

    Args:
        stream: Stream to capture.
        work: Function that enqueues the work in the stream.

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
        """Enqueue the work in its stream."""
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
    """Copy images (N, H, W, C) uint8 of any strides into contiguous memory of this shape.

    `cv2.threshold` copies on all cores, OpenCV's copy on one; a threshold of 0 changes no uint8.
    """
    for place, image in zip(target, images, strict=True):
        cv2.threshold(image, 0, 255, cv2.THRESH_TOZERO, dst=place)
