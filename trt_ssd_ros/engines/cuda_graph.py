"""CapturedWork: what was put into a CUDA stream once, launched as a whole."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

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
