"""InputWatch: collects evidence for the input doctor, and reports its findings to the log and /diagnostics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from time import monotonic

from diagnostic_msgs.msg import DiagnosticStatus

from trt_ssd_ros.node.camera_channel import CameraChannel
from trt_ssd_ros.node.diagnostics import Alert
from trt_ssd_ros.node.inference_executor import InferenceExecutor
from trt_ssd_ros.node.input_doctor import Evidence, Finding, examine
from trt_ssd_ros.ros.process import FailableNode

CHECK_PERIOD, COUNT_PERIOD = 0.5, 1.0
"""Seconds between two checks, and between two counts of images that were not taken, on a steady clock."""
LOSS_SPAN = 5
"""Number of counts in the share of lost images."""
LOSS_SHARE, BUSY_SHARE = 0.1, 0.5
"""Smallest share of lost images that is reported, and busy share of a period that explains the loss."""
LOSS_IMAGES = 20
"""Smallest number of images from which the share is computed."""


class InputWatch:
    """Monitor of a camera's input, which checks it twice a second while it is open.

    Args:
        node: Node that has the parameter `input_timeout`.
        channel: Channel of the camera.
        executor: Executor that takes the camera's images.
        report: Called at every check while the node's clock stands, because timers on that clock stand too.

    Attributes:
        finding: Problem of the input; None if there is none.
    """

    def __init__(
        self,
        node: FailableNode,
        channel: CameraChannel,
        executor: InferenceExecutor,
        report: Callable[[], None],
    ) -> None:
        self.finding: Finding | None = None
        self._node = node
        self._channel = channel
        self._input = channel.input
        self._executor = executor
        self._report = report
        self._clock_at, self._clock_since = -1, monotonic()
        self._cycles, self._taken, self._arrived_at, self._accepted_at = 0, 0, 0.0, 0.0
        self._history: deque[tuple[float, int, int]] = deque(maxlen=LOSS_SPAN + 1)
        for period, callback in ((CHECK_PERIOD, self._check), (COUNT_PERIOD, self._count)):
            node.call_every(period, callback)

    @property
    def alert(self) -> Alert | None:
        """Problem of the input as an alert for /diagnostics; None if there is none."""
        if self.finding is None:
            return None
        return Alert(DiagnosticStatus.ERROR if self.finding.severe else DiagnosticStatus.WARN, self.finding.text)

    def restart(self) -> None:
        """Start again after the input was opened."""
        self._arrived_at = self._accepted_at = self._clock_since = monotonic()
        self._history.clear()
        self.finding = None

    def _count(self) -> None:
        self._channel.update()
        counts = self._channel.counts
        self._history.append((self._executor.busy_seconds, counts.received, counts.dropped))

    def _check(self) -> None:
        timeout = self._node.get_parameter("input_timeout").value
        if not self._channel.is_open or not timeout:
            self.finding = None
            return
        before, self.finding = self.finding, examine(self._evidence(timeout))
        if self.finding is None:
            if before is not None:
                self._channel.logger.info(f"the problem with {self._input.topic} is solved")
        elif before is None or before.kind != self.finding.kind:
            self._channel.logger.warning(self.finding.text)
        if self.finding is not None and self.finding.kind == "clock":
            self._report()

    def _evidence(self, timeout: float) -> Evidence:
        now, taken = monotonic(), self._channel.counts.taken
        if taken != self._taken or not self._is_listening(now):
            self._taken, self._arrived_at = taken, now
            if not self._channel.refusal:
                self._accepted_at = now
        silent = now - self._accepted_at > timeout
        return Evidence(
            topic=self._input.topic,
            name=self._channel.name,
            camera=self._input.camera,
            type=self._input.type_name,
            publishers=self._input.list_publishers() if silent else (),
            image_topics=self._input.list_image_topics() if silent else (),
            silent=silent,
            refusal=self._channel.refusal,
            arriving=now - self._arrived_at <= timeout,
            clock_stands=self._clock_stands(now, timeout),
            stamp=self._channel.stamps.problem(now),
            loss=self._loss(),
        )

    def _is_listening(self, now: float) -> bool:
        """Return whether the executor would have taken an image since the last check.

        Between two images of other cameras it waits for a moment only, so a wait that has ended counts as well.
        """
        before, self._cycles = self._cycles, self._executor.cycles
        waited = self._executor.is_waiting or self._cycles != before
        return (
            waited
            and not self._executor.postpones(self._channel.input.opened)
            and self._channel.throttle_delay(now) <= 0
        )

    def _loss(self) -> float:
        """Return the share of recently lost images; 0 if it is small or the detector was busy in any period."""
        busy, received, dropped = zip(*self._history, strict=True) if self._history else ((), (), ())
        longest = max((after - before for before, after in pairwise(busy)), default=0.0)
        if len(self._history) <= LOSS_SPAN or longest > BUSY_SHARE * COUNT_PERIOD:
            return 0.0
        came, lost = received[-1] - received[0], dropped[-1] - dropped[0]
        return lost / came if came >= LOSS_IMAGES and lost >= LOSS_SHARE * came else 0.0

    def _clock_stands(self, now: float, timeout: float) -> bool:
        clock = self._node.get_clock()
        if not clock.ros_time_is_active:  # type: ignore[attr-defined]
            return False
        if clock.now().nanoseconds != self._clock_at:
            self._clock_at, self._clock_since = clock.now().nanoseconds, now
        return now - self._clock_since > timeout
