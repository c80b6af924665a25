"""InputWatch: asks the input doctor when images stop coming, and says once in the log what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSCompatibility, QoSReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from trt_ssd_ros.node.detection_loop import DetectionLoop
from trt_ssd_ros.node.diagnostics import Complaint
from trt_ssd_ros.node.image_input import ImageInput
from trt_ssd_ros.node.input_doctor import Evidence, Finding, Publisher, examine, examine_stamp
from trt_ssd_ros.node.parameter_table import INPUT_TIMEOUT
from trt_ssd_ros.ros.parameters import ExplainedNode

PERIOD = 0.5
"""Seconds between two looks, on a clock that always runs."""
STAMP_MEMORY = 5.0
"""Seconds for which a wrong stamp is remembered."""


class InputWatch:
    """Looks at the input twice a second, while it is open.

    Args:
        node: Looks at the graph; gets the parameter `input_timeout`.
        image_input: The subscription.
        loop: Knows what became of the images.
        report: Called at every look while the clock stands, and with it the timers on it.

    Attributes:
        finding: What is wrong; None if nothing is.
    """

    def __init__(
        self, node: ExplainedNode, image_input: ImageInput, loop: DetectionLoop, report: Callable[[], None]
    ) -> None:
        node.declare(INPUT_TIMEOUT)
        self.finding: Finding | None = None
        self._node = node
        self._input = image_input
        self._loop = loop
        self._report = report
        self._last_stamp: float | None = None
        self._stamp_trouble, self._stamp_trouble_since = "", 0.0
        self._clock_at, self._clock_since = -1, monotonic()
        self._received, self._arrived_at, self._accepted_at = 0, 0.0, 0.0
        node.create_timer(PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def complaint(self) -> Complaint | None:
        """What is wrong, as the diagnostics want it."""
        if self.finding is None:
            return None
        return Complaint(
            DiagnosticStatus.ERROR if self.finding.severe else DiagnosticStatus.WARN, self.finding.text
        )

    def restart(self) -> None:
        """Begin anew: the input was opened."""
        self._arrived_at = self._accepted_at = self._clock_since = monotonic()
        self.finding = None
        self.forget_stamps()

    def forget_stamps(self) -> None:
        """Forget what the stamps were, as when the clock was set."""
        self._last_stamp, self._stamp_trouble = None, ""

    def note(self, stamp: int, now: int) -> None:
        """Look at the stamp of an image that arrives, in ns."""
        trouble = examine_stamp(stamp / 1e9, self._last_stamp, now / 1e9)
        self._last_stamp = stamp / 1e9
        if trouble:
            self._stamp_trouble, self._stamp_trouble_since = trouble, monotonic()

    def _look(self) -> None:
        timeout = self._node.get_parameter("input_timeout").value
        if not self._input.is_open or not timeout or not self._node.context.ok():
            self.finding = None
            return
        before, self.finding = self.finding, examine(self._evidence(timeout))
        if self.finding is None:
            if before is not None:
                self._node.get_logger().info(f"the input of {self._input.topic} is in order again")
        elif before is None or before.kind != self.finding.kind:
            self._node.get_logger().warning(self.finding.text)
        if self.finding is not None and self.finding.kind == "clock":
            self._report()

    def _evidence(self, timeout: float) -> Evidence:
        now = monotonic()
        if self._loop.counts.received != self._received:
            self._received, self._arrived_at = self._loop.counts.received, now
            if not self._loop.refusal:
                self._accepted_at = now
        silent = now - self._accepted_at > timeout
        stamp = self._stamp_trouble if now - self._stamp_trouble_since < STAMP_MEMORY else ""
        return Evidence(
            topic=self._input.topic,
            type=self._input.type_name,
            publishers=self._publishers() if silent else (),
            image_topics=self._image_topics() if silent else (),
            silent=silent,
            refusal=self._loop.refusal,
            arriving=now - self._arrived_at <= timeout,
            clock_stands=self._clock_stands(now, timeout),
            stamp=stamp,
        )

    def _clock_stands(self, now: float, timeout: float) -> bool:
        clock = self._node.get_clock()
        if not clock.ros_time_is_active:  # type: ignore[attr-defined]
            return False
        if clock.now().nanoseconds != self._clock_at:
            self._clock_at, self._clock_since = clock.now().nanoseconds, now
        return now - self._clock_since > timeout

    def _publishers(self) -> list[Publisher]:
        return [self._describe(info) for info in self._node.get_publishers_info_by_topic(self._input.topic)]

    def _describe(self, info: TopicEndpointInfo) -> Publisher:
        fit, reason = qos_check_compatible(info.qos_profile, self._input.qos)
        return Publisher(
            node=f"{info.node_namespace.rstrip('/')}/{info.node_name}",
            type=info.topic_type,
            mismatch=reason if fit == QoSCompatibility.ERROR else "",
            best_effort=info.qos_profile.reliability == QoSReliabilityPolicy.BEST_EFFORT,
        )

    def _image_topics(self) -> list[str]:
        ours = {publisher.topic_name for publisher in self._node.publishers}
        return [
            name
            for name, types in self._node.get_topic_names_and_types()
            if self._input.type_name in types and name not in ours and self._node.count_publishers(name)
        ]
