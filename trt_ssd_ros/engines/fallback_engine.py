"""FallbackEngine: a server's engine, and a local one that runs while the server does not answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Event, Thread

from trt_ssd_ros.detection.engine import EngineUnavailableError, InferenceEngine, Tensors, TensorSpec
from trt_ssd_ros.engines.remote_engine import RemoteEngine
from trt_ssd_ros.engines.remote_server import ServerRefusedError

LOGGER = logging.getLogger(__name__)
PROBE_PERIOD = 1.0
"""Seconds between two probes of a server that does not answer."""
MAX_PROBE_PERIOD = 30.0
"""Longest seconds between two probes of a server that answers probes and then fails."""
STEADY = 20
"""Number of images in a row after which a server counts as steady."""
PROBES = 3
"""Number of probes in a row that a server must answer in time before it gets images again."""


class FallbackEngine:
    """Engine that leaves a slow, absent or wrong server, and returns to it when it answers again.

    The server's engine belongs to the caller's thread, and while the server is left, to the thread that probes it.

    Args:
        remote: Engine on the server.
        local: Engine that runs meanwhile; None: runs raise an error meanwhile.
        problem: Reason why the server is left from the start; empty: it answers.
        batch: Number of images of a probe: the most that a run has, or the server might refuse the runs again.

    Attributes:
        degraded: Reason why the server is left; empty while it is used.
    """

    kind = "remote"

    def __init__(
        self, remote: RemoteEngine, local: InferenceEngine | None, problem: str = "", batch: int = 1
    ) -> None:
        self._remote = remote
        self._local = local
        self._batch = batch
        self._closing = Event()
        self._probing: Future[None] | None = None
        self._prober: Thread | None = None
        self._period = PROBE_PERIOD
        self._answers = STEADY
        self._refused = False  # the log says that the server refuses the requests
        self.degraded = ""
        if problem:
            self._leave(problem)

    @property
    def _current(self) -> InferenceEngine:
        return self._local if self._local is not None and self.degraded else self._remote

    @property
    def name(self) -> str:
        """Name of the engine that runs now."""
        return self._current.name

    @property
    def precision(self) -> str:
        """Precision of the engine that runs now."""
        return self._current.precision

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Inputs of the server's engine; see `InferenceEngine`."""
        return self._remote.inputs

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once, on the server unless it is left; see `InferenceEngine.run`.

        Raises:
            EngineUnavailableError: The server did not answer in time or is left, and there is no local engine.
        """
        if self._probing is not None and self._probing.done():
            self._return()
        if not self.degraded:
            try:
                outputs = self._remote.run(inputs)
            except EngineUnavailableError as error:
                self._refused = isinstance(error, ServerRefusedError)
                self._leave(str(error))
            else:
                self._answers += 1
                return outputs
        if self._local is None:
            raise EngineUnavailableError(self.degraded)
        return self._local.run(inputs)

    def _leave(self, reason: str) -> None:
        """Leave the server, and probe it in a thread; if it failed soon after its return, probe it less often."""
        self._period = PROBE_PERIOD if self._answers >= STEADY else min(2 * self._period, MAX_PROBE_PERIOD)
        self._answers = 0
        self.degraded = reason
        instead = "images are refused" if self._local is None else f"{self._local.name} runs instead"
        LOGGER.warning("%s; %s until the server answers again", reason, instead)
        self._probing = Future()
        self._prober = Thread(target=self._probe, args=(self._probing,), name="server_probe", daemon=True)
        self._prober.start()

    def _return(self) -> None:
        """Use the server again; raise the error of a failed probe that is no failure of the server."""
        assert self._probing is not None, "the server is left"
        probing, self._probing = self._probing, None
        probing.result()
        self.degraded = ""
        LOGGER.info("%s answers again and runs", self._remote.name)

    def _probe(self, probing: Future[None]) -> None:
        """Probe the server until it answers in time, or the engine is closed."""
        while not self._closing.wait(self._period):
            try:
                for _ in range(PROBES):
                    self._remote.check(self._batch)
            except ServerRefusedError as error:  # a server that was gone may be back with another model
                self.degraded = str(error)
                if not self._refused:
                    LOGGER.warning("%s", error)
                    self._refused = True
                continue
            except EngineUnavailableError:
                continue
            except Exception as error:  # belongs to the thread of the engine
                probing.set_exception(error)
                return
            probing.set_result(None)
            return

    def memory_used(self) -> int | None:
        """Return the GPU memory in use; see `InferenceEngine.memory_used`."""
        return None if self._local is None else self._local.memory_used()

    def close(self) -> None:
        """Close both engines; further calls do nothing."""
        self._closing.set()
        self._remote.close()
        if self._prober is not None:
            self._prober.join()
        self._remote.close()
        if self._local is not None:
            self._local.close()
