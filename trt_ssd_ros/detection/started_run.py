"""StartedRun: one batch on its way through an asynchronous engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.engine import Tensors


class StartedRun:
    """Run of an asynchronous engine on one batch, whose detections or error are kept for the caller.

    Args:
        shape: Shape of the batch.
        start: Function that starts the run, and returns a function that waits for its outputs.
        finish: Function that returns the detections among the outputs.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        start: Callable[[], Callable[[], Tensors]],
        finish: Callable[[Tensors], list[Detections]],
    ) -> None:
        self.shape = shape
        self._finish = finish
        self._done: Future[list[Detections]] = Future()
        try:
            self._fetch = start()
        except Exception as error:
            self._done.set_exception(error)

    @property
    def is_done(self) -> bool:
        """True if detections or an error are known."""
        return self._done.done()

    @property
    def ran_out(self) -> bool:
        """True if the engine failed to start the run, perhaps for want of memory."""
        return self.is_done and isinstance(self._done.exception(), RuntimeError)

    def complete(self) -> None:
        """Wait for the detections or the error."""
        if self.is_done:
            return
        try:
            self._done.set_result(self._finish(self._fetch()))
        except Exception as error:
            self._done.set_exception(error)

    def result(self) -> list[Detections]:
        """Wait for the detections, and return them or raise the error."""
        self.complete()
        return self._done.result()
