"""Search for the detector that the recorder and the watch follow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rclpy.executors import Executor
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.topic_endpoint_info import TopicEndpointInfo

TYPE = "vision_msgs/msg/Detection2DArray"
PICTURE_TYPE = "sensor_msgs/msg/CompressedImage"
STARTUP_SECONDS = 30.0
DISCOVERY_SECONDS = 2.0
"""Time in which the other detectors are discovered after the first one; no event marks the end of discovery."""
UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
"""Name that the middleware gives to the node of a publisher until it discovers the node."""


@dataclass(frozen=True, order=True)
class Detector:
    """Publisher of detections.

    Attributes:
        topic: Full name of its topic.
        node: Full name of its node.
        pictures: Topic of the node's compressed debug images; empty if there is none.
        is_ours: Whether the node is a detector of this package: it offers the service `~/reload`.
    """

    topic: str
    node: str
    pictures: str = ""
    is_ours: bool = True

    def __str__(self) -> str:
        return f"{self.topic} of {self.node}"

    @property
    def statuses(self) -> set[str]:
        """Names that its status in /diagnostics can have; in the root namespace they begin without a slash.

        With several cameras, each has a status with the camera's name, which is the namespace of its topics.
        """
        name = self.node.removeprefix("/")
        camera = _namespace(self.topic).rpartition("/")[2]
        return {f"{self.node if '/' in name else name}: {part}" for part in ("detector", camera) if part}


def detectors(node: Node) -> list[Detector]:
    """Return the discovered publishers of detections, by topic.

    Args:
        node: Node that reads the graph.
    """
    topics = [name for name, types in node.get_topic_names_and_types() if TYPE in types]
    return sorted(found for topic in topics for found in publishers_of(node, topic))


def publishers_of(node: Node, topic: str) -> list[Detector]:
    """Return the discovered publishers of detections on a topic, one entry per node.

    The middleware lists a killed node for some seconds, also beside its restarted process of the same name.

    Args:
        node: Node that reads the graph.
        topic: Full name of the topic.
    """
    found = []
    for info in node.get_publishers_info_by_topic(topic):
        if info.topic_type == TYPE and info.node_name != UNKNOWN_NODE:
            with suppress(NodeNameNonExistentError):  # the node has left
                found.append(_described(node, topic, info))
    return sorted(set(found))


def _described(node: Node, topic: str, info: TopicEndpointInfo) -> Detector:
    whose = info.node_name, info.node_namespace
    name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    services = {service for service, _ in node.get_service_names_and_types_by_node(*whose)}
    published = dict(node.get_publisher_names_and_types_by_node(*whose))
    pictures = [other for other, types in published.items() if PICTURE_TYPE in types and _raw(other) in published]
    if sum(TYPE in types for types in published.values()) > 1:  # the other cameras have pictures, too
        pictures.sort(key=lambda other: _namespace(_raw(other)) != _namespace(topic))
    return Detector(topic, name, pictures[0] if pictures else "", f"{name}/reload" in services)


def _namespace(topic: str) -> str:
    return topic.rpartition("/")[0]


def _raw(topic: str) -> str:
    """Return the topic of the raw images of a topic of compressed ones; preview/compressed has none."""
    return topic.removesuffix("/compressed")


def choose(found: Sequence[Detector], others: Sequence[Detector] = (), topic: str = "") -> Detector:
    """Return the only detector.

    Args:
        found: Candidates.
        others: Discovered publishers that are no candidates, for the error message.
        topic: Topic that the user named, for the error message; empty if none.

    Raises:
        RuntimeError: There is no candidate, or there are several.
    """
    if not found:
        named = f" on {topic}" if topic else ""
        others_are = f"; found {_listed(others)}: choose one with --topic" if others else ""
        raise RuntimeError(f"no detector publishes {TYPE}{named}: start one, or check ROS_DOMAIN_ID{others_are}")
    if len({detector.topic for detector in found}) > 1:
        raise RuntimeError(
            f"several topics have detections ({_listed(found)}): choose one, e.g. --topic {found[0].topic}"
        )
    if len(found) > 1:
        nodes = ", ".join(detector.node for detector in found)
        raise RuntimeError(f"{found[0].topic} has several publishers ({nodes}): give each detector its own topic")
    return found[0]


def _listed(found: Sequence[Detector]) -> str:
    return "; ".join(map(str, found))


def spin_until(happened: Callable[[], object], seconds: float, executor: Executor) -> None:
    """Spin until a condition holds, for a number of seconds at most.

    Args:
        happened: Condition.
        seconds: Longest time in seconds, on a steady clock, because the node's clock may stand still under
            use_sim_time.
        executor: Executor that spins.
    """
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)


def other_detectors(node: Node, followed: Detector, topic: str = "") -> list[str]:
    """Return notes on the detectors beside the followed one, which discovery may have found too late for `find`.

    Args:
        node: Node that reads the graph.
        followed: Detector that the node follows.
        topic: Topic that the user named; empty: any.
    """
    notes = []
    rivals = [found.node for found in publishers_of(node, followed.topic) if found.node != followed.node]
    if rivals:
        notes.append(f"also publishing on {followed.topic}: {', '.join(rivals)}: give each detector its own topic")
    others = [found for found in detectors(node) if found.is_ours and found.topic != followed.topic]
    if others and not _wanted_topic(node, topic):
        notes.append(f"also running: {_listed(others)}: choose with --topic")
    return notes


def _wanted_topic(node: Node, topic: str) -> str:
    """Return the full name of the topic that the user named, as an option or by a remapping; empty if none."""
    resolved = node.resolve_topic_name(topic or "detections")
    return "" if not topic and resolved == "/detections" else resolved


def find(node: Node, executor: Executor, topic: str = "", with_pictures: bool = False) -> Detector:
    """Wait for a detector, and return it.

    Without a topic, candidates are the detectors of this package, in any namespace. With a topic, candidates are
    all publishers of detections on it. If the user remaps `detections` or sets a namespace, that names the topic.

    Args:
        node: Node that reads the graph.
        executor: Executor of the node.
        topic: Topic that the user named; empty: any.
        with_pictures: Whether to wait for the topics of the debug images.

    Raises:
        RuntimeError: No detector starts in STARTUP_SECONDS, or there are several candidates.
    """
    wanted = _wanted_topic(node, topic)

    def candidates() -> list[Detector]:
        return [found for found in detectors(node) if (found.topic == wanted if wanted else found.is_ours)]

    sys.stderr.write(f"waiting for a detector{wanted and ' on '}{wanted} ...\n")
    spin_until(candidates, STARTUP_SECONDS, executor)
    if not wanted:
        spin_until(lambda: len(candidates()) > 1, DISCOVERY_SECONDS, executor)
    if with_pictures:  # the topics of one node are discovered one after the other
        spin_until(lambda: all(found.pictures for found in candidates()), DISCOVERY_SECONDS, executor)
    return choose(candidates(), detectors(node), wanted)
