"""Input doctor: finds the cause of a camera's input problem and its fix, without ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

MAX_STAMP_AGE = 10.0
"""Largest age of a stamp at its arrival in seconds; an older stamp seems to come from another clock."""
STAMP_MEMORY = 5.0
"""Seconds for which a problem of a stamp is reported."""
MAX_STAMP_LEAD = 1.0
"""Largest lead of a stamp over the clock in seconds."""


@dataclass(frozen=True)
class Publisher:
    """One publisher of the topic.

    Attributes:
        node: Full name of the node.
        type: Message type, e.g. `sensor_msgs/msg/Image`.
        mismatch: Reason why the quality of service does not match the subscription; empty if it does.
        best_effort: Whether the reliability is best effort.
    """

    node: str
    type: str
    mismatch: str = ""
    best_effort: bool = False


@dataclass(frozen=True)
class Evidence:
    """Observations of the input.

    Attributes:
        topic: Full name of the topic.
        type: Expected message type.
        name: Name of the camera; empty if it is the detector's only one and has none.
        camera: State of the camera if it is in this process; None if the images come from the topic.
        publishers: All publishers of the topic.
        image_topics: Topics on which nodes publish the expected type.
        silent: Whether the timeout has passed without a readable image.
        refusal: Reason why the newest image was refused; empty if it was not.
        arriving: Whether images arrive, readable or not.
        clock_stands: Whether the clock is simulated and does not advance.
        stamp: Problem of the newest stamp; empty if there is none.
        loss: Share of images lost in transport while the detector has time for them, 0 to 1; 0 if small.
    """

    topic: str
    type: str
    name: str = ""
    camera: str | None = None
    publishers: Sequence[Publisher] = ()
    image_topics: Sequence[str] = ()
    silent: bool = False
    refusal: str = ""
    arriving: bool = False
    clock_stands: bool = False
    stamp: str = ""
    loss: float = 0.0


@dataclass(frozen=True)
class Finding:
    """Problem of the input.

    Attributes:
        kind: Identifier of the kind of problem.
        text: Description of the problem, and its fix.
        severe: Whether the problem prevents detection.
    """

    kind: str
    text: str
    severe: bool = True


def examine(evidence: Evidence) -> Finding | None:
    """Return the problem of the input; None if there is none."""
    if evidence.clock_stands:
        return Finding(
            "clock",
            "use_sim_time is true, but /clock does not advance: start the simulation, play the bag with --clock, "
            "or set use_sim_time to false",
            severe=evidence.silent,
        )
    if evidence.silent:
        return _examine_silence(evidence)
    if evidence.loss and evidence.camera is None:
        return _loss(evidence)
    return Finding("stamps", evidence.stamp, severe=False) if evidence.stamp else None


def _loss(evidence: Evidence) -> Finding:
    return Finding(
        "loss",
        f"{evidence.loss:.0%} of the images on {evidence.topic} are lost in transport, although the detector has "
        "time for them: start the publisher with the Fast DDS profile config/fastdds_large_images.xml, make the "
        "publisher reliable, or set the parameter image_transport to compressed; if it is on another machine, "
        "also raise net.core.rmem_max on this one (doctor)",
        severe=False,
    )


def _examine_silence(evidence: Evidence) -> Finding:
    topic = evidence.topic
    if evidence.camera is not None:
        return Finding("camera", f"no image comes from the camera in this process: {evidence.camera}")
    if evidence.arriving and evidence.refusal:
        return Finding("refused", f"images arrive on {topic}, but the node refuses them: {evidence.refusal}")
    if not evidence.publishers:
        return Finding("no publisher", f"{topic} has no publisher: {_advice(evidence)}")
    fitting = [publisher for publisher in evidence.publishers if publisher.type == evidence.type]
    if not fitting:
        return _other_type(evidence)
    if all(publisher.mismatch for publisher in fitting):
        return _mismatch(topic, fitting[0])
    names = ", ".join(sorted({publisher.node for publisher in fitting}))
    return Finding(
        "silence",
        f"{names} publishes {topic}, but no image arrives: check that the camera is connected, the bag is not "
        "paused, and the network carries large messages",
    )


def _advice(evidence: Evidence) -> str:
    if not evidence.image_topics:
        return (
            f"no topic of type {evidence.type} has a publisher: start the camera driver, with this node's "
            "ROS_DOMAIN_ID"
        )
    return f"{_remap(evidence)} to one of {', '.join(evidence.image_topics)}"


def _remap(evidence: Evidence) -> str:
    if evidence.name:
        return f"remap {evidence.name}/image (launch: {evidence.name}=topic:... in cameras)"
    return "remap image (launch: image_topic)"


def _other_type(evidence: Evidence) -> Finding:
    publisher = evidence.publishers[0]
    transports = {"sensor_msgs/msg/Image": "raw", "sensor_msgs/msg/CompressedImage": "compressed"}
    advice = f"{_remap(evidence)} to a topic of images"
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
    return Finding(
        "qos",
        f"{publisher.node} publishes {topic}, but its quality of service does not match: {publisher.mismatch}; "
        f"{advice}",
    )


def examine_stamp(stamp: float, before: float | None, now: float) -> str:
    """Return the problem of an image's stamp; empty if there is none.

    Args:
        stamp: Stamp of the image in seconds.
        before: Stamp of the image before in seconds; None for the first image.
        now: Time of the node's clock in seconds.
    """
    if stamp == 0:
        return "the images' stamps are zero, so the images' age is unknown: set the stamps in the camera driver"
    if before is not None and 0 < stamp < before:
        return (
            f"the images' stamps jump back by {before - stamp:.3g} s: check whether two cameras publish the same "
            "topic, or a bag loops"
        )
    if not -MAX_STAMP_LEAD <= now - stamp <= MAX_STAMP_AGE:
        return (
            f"the images' stamps are {abs(now - stamp):.3g} s {'behind' if now > stamp else 'ahead of'} this "
            "node's clock: if a bag or a simulation plays, set use_sim_time; else synchronise the clocks"
        )
    return ""


class StampWatch:
    """Newest problem of a camera's stamps, kept for STAMP_MEMORY seconds."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._newest_time = 0
        self._problem, self._since = "", 0.0

    def note(self, stamp: int, now: int) -> float:
        """Check the stamp of an image that was taken.

        Args:
            stamp: Stamp of the image in ns.
            now: Time of the node's clock in ns.

        Returns:
            Seconds by which the clock went back since the image before, e.g. because a bag loops; else 0.
        """
        back = max(0, self._newest_time - now) / 1e9
        if back:
            self.forget()
        self._newest_time = now
        problem = examine_stamp(stamp / 1e9, self._last, now / 1e9)
        self._last = stamp / 1e9
        if problem:
            self._problem, self._since = problem, monotonic()
        return back

    def forget(self) -> None:
        """Start again, e.g. after a jump of the clock."""
        self._last, self._problem = None, ""

    def problem(self, now: float) -> str:
        """Return the problem of the last STAMP_MEMORY seconds; empty if there was none.

        Args:
            now: Time of time.monotonic in seconds.
        """
        return self._problem if now - self._since < STAMP_MEMORY else ""
