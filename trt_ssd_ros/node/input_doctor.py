"""Input doctor: examines what is wrong with a camera's input, and what mends it. It needs no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

STALE_STAMP = 10.0
"""Seconds that a stamp may be older than its arrival before it looks as if it came from another clock."""
STAMP_MEMORY = 5.0
"""Seconds for which a wrong stamp is remembered."""
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
        loss: Share of the images that get lost although the detector is free to take them, 0 to 1; 0 if small.
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
    loss: float = 0.0


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
    if evidence.loss:
        return _loss(evidence)
    return Finding("stamps", evidence.stamp, severe=False) if evidence.stamp else None


def _loss(evidence: Evidence) -> Finding:
    return Finding(
        "loss",
        f"{evidence.loss:.0%} of the images on {evidence.topic} get lost between their publisher and the node, "
        "although the detector is free to take them: start the publisher with our Fast DDS profile "
        "(config/fastdds_large_images.xml), make it reliable, or set image_transport to compressed",
        severe=False,
    )


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


class StampWatch:
    """Remembers what was wrong with a camera's stamps for STAMP_MEMORY seconds."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._newest_time = 0
        self._trouble, self._since = "", 0.0

    def note(self, stamp: int, now: int) -> float:
        """Look at the stamp of an image that was taken.

        Args:
            stamp: The stamp in ns.
            now: The node's clock in ns.

        Returns:
            Seconds by which the clock went back since the image before, as when a bag loops; else 0.
        """
        back = max(0, self._newest_time - now) / 1e9
        if back:
            self.forget()
        self._newest_time = now
        trouble = examine_stamp(stamp / 1e9, self._last, now / 1e9)
        self._last = stamp / 1e9
        if trouble:
            self._trouble, self._since = trouble, monotonic()
        return back

    def forget(self) -> None:
        """Begin anew, as when the clock was set."""
        self._last, self._trouble = None, ""

    def trouble(self, now: float) -> str:
        """Return what was wrong lately, seen from a time.monotonic; empty if nothing was."""
        return self._trouble if now - self._since < STAMP_MEMORY else ""
