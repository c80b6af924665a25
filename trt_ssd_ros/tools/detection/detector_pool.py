"""DetectorPool: detectors that work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from trt_ssd_ros.detection.detector import Detector

Result = TypeVar("Result")


class DetectorPool:
    """Gives each piece of work to a detector that is free.

    Several detectors work in threads of their own. A single one works in the thread of whoever asks: an engine on
    a GPU belongs to the thread that opened it.

    Args:
        detectors: All alike.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.size = len(detectors)
        self._first = detectors[0]
        self._free: SimpleQueue[Detector] = SimpleQueue()
        for detector in detectors:
            self._free.put(detector)
        self._threads = ThreadPoolExecutor(self.size)
        self._busy: set[Future[Any]] = set()

    def __enter__(self) -> DetectorPool:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all work is done."""
        self._threads.shutdown()

    def submit(self, work: Callable[[Detector], Result]) -> Callable[[], Result]:
        """Begin a piece of work, and return when a detector is free for the next one.

        Returns:
            Waits for the result of this work and returns it, or raises what it raised.
        """
        if self.size == 1:
            result = work(self._first)
            return lambda: result
        future = self._threads.submit(self._with_a_free_one, work)
        self._busy.add(future)
        if len(self._busy) == self.size:
            _, self._busy = wait(self._busy, return_when=FIRST_COMPLETED)
        return future.result

    def _with_a_free_one(self, work: Callable[[Detector], Result]) -> Result:
        detector = self._free.get()
        try:
            return work(detector)
        finally:
            self._free.put(detector)
