"""Input doctor: examines evidence without ROS when no image comes; InputWatch gathers it and tells the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSCompatibility, QoSReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from trt_ssd_ros.node.detection_loop import DetectionLoop
from trt_ssd_ros.node.diagnostics import Complaint
from trt_ssd_ros.node.image_input import ImageInput
from trt_ssd_ros.node.parameter_table import INPUT_TIMEOUT
from trt_ssd_ros.ros.parameters import ExplainedNode

STALE_STAMP = 10.0
"""Seconds that a stamp may be older than its arrival before it looks as if it came from another clock."""
EARLY_STAMP = 1.0
"""Seconds that a stamp may be ahead of the clock."""


@dataclass(frozen=True)
class Publisher:
    """Somebody who publishes the topic.

    Attributes:
        node: Full name of the node.
        type: What it publishes, as `sensor_msgs/msg/Image`.
        mismatch: Why its quality of service does not fit the subscription; empty if it does.
        best_effort: Whether it is best effort.
    """

    node: str
    type: str
    mismatch: str = ""
    best_effort: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known about the input.

    Attributes:
        topic: Full name of the topic.
        type: What is expected on it.
        publishers: Everybody who publishes it.
        image_topics: Topics that somebody publishes images of the expected type on.
        silent: Whether no image that can be read has come for too long.
        refusal: Why the newest image was refused; empty if it was not.
        arriving: Whether images come at all, readable or not.
        clock_stands: Whether the clock is simulated and does not advance.
        stamp: What is wrong with the newest stamp; empty if nothing is.
    """

    topic: str
    type: str
    publishers: Sequence[Publisher] = ()
    image_topics: Sequence[str] = ()
    silent: bool = False
    refusal: str = ""
    arriving: bool = False
    clock_stands: bool = False
    stamp: str = ""


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    Attributes:
        kind: One word for it, the same as long as it is the same trouble.
        text: What was found, and what to do.
        severe: Whether nothing can be detected, or only the times are wrong.
    """

    kind: str
    text: str
    severe: bool = True


def examine(evidence: Evidence) -> Finding | None:
    """Say what is wrong with the input; None if nothing is."""
    if evidence.clock_stands:
        return Finding(
            "clock",
            "use_sim_time is true, but /clock does not advance: start the simulation, play the bag with --clock, "
            "or set use_sim_time to false",
            severe=evidence.silent,
        )
    if evidence.silent:
        return _examine_silence(evidence)
    return Finding("stamps", evidence.stamp, severe=False) if evidence.stamp else None


def _examine_silence(evidence: Evidence) -> Finding:
    topic = evidence.topic
    if evidence.arriving and evidence.refusal:
        return Finding("refused", f"images arrive on {topic}, but are refused: {evidence.refusal}")
    if not evidence.publishers:
        return Finding("nobody", f"nobody publishes {topic}: {_advice(evidence)}")
    fitting = [publisher for publisher in evidence.publishers if publisher.type == evidence.type]
    if not fitting:
        return _other_type(evidence)
    if all(publisher.mismatch for publisher in fitting):
        return _mismatch(topic, fitting[0])
    names = ", ".join(sorted({publisher.node for publisher in fitting}))
    return Finding(
        "silence",
        f"{names} publishes {topic}, but no image comes: is the camera connected, the bag not paused, and does "
        "the network carry large messages?",
    )


def _advice(evidence: Evidence) -> str:
    if not evidence.image_topics:
        return (
            f"no topic of type {evidence.type} is published: is the camera driver running, in this ROS_DOMAIN_ID?"
        )
    return f"remap image (launch: image_topic) to one of {', '.join(evidence.image_topics)}"


def _other_type(evidence: Evidence) -> Finding:
    publisher = evidence.publishers[0]
    transports = {"sensor_msgs/msg/Image": "raw", "sensor_msgs/msg/CompressedImage": "compressed"}
    advice = "remap image (launch: image_topic) to a topic of images"
    if publisher.type in transports:
        advice = f"set the parameter image_transport to {transports[publisher.type]}"
    return Finding(
        "type",
        f"{publisher.node} publishes {publisher.type} on {evidence.topic}, expected {evidence.type}: {advice}",
    )


def _mismatch(topic: str, publisher: Publisher) -> Finding:
    advice = "change the publisher's quality of service"
    if publisher.best_effort:
        advice = f"set the parameter qos_overrides.{topic}.subscription.reliability to best_effort"
    return Finding("qos", f"{publisher.node} publishes {topic}, but does not fit: {publisher.mismatch}; {advice}")


def examine_stamp(stamp: float, before: float | None, now: float) -> str:
    """Say what is wrong with an image's stamp; empty if nothing is.

    Args:
        stamp: Seconds.
        before: The stamp of the image before this one; None if there was none.
        now: The node's clock.
    """
    if stamp == 0:
        return "the images' stamps are zero, so ages cannot be told: set them in the camera driver"
    if before is not None and 0 < stamp < before:
        return (
            f"the images' stamps jump back by {before - stamp:.3g} s: do two cameras publish the same topic, "
            "or does a bag loop?"
        )
    if not -EARLY_STAMP <= now - stamp <= STALE_STAMP:
        return (
            f"the images' stamps are {abs(now - stamp):.3g} s {'behind' if now > stamp else 'ahead of'} this "
            "node's clock: set use_sim_time where a bag or a simulation plays, else synchronise the clocks"
        )
    return ""


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
