"""Publishers of a topic: those of one message type, and the reliability and durability that fit all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo


class Publishers:
    """Publishers of one topic.

    Args:
        node: Node that looks for them.
        topic: Full name of the topic.
        kind: Message type; publishers of another type are ignored.

    Attributes:
        type_name: Name of the message type, e.g. `sensor_msgs/msg/Image`.
    """

    def __init__(self, node: Node, topic: str, kind: Any) -> None:
        self.type_name = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        self._node = node
        self._topic = topic
        self._last: frozenset[bytes] = frozenset()

    def find(self) -> list[TopicEndpointInfo]:
        """Return the publishers now; takes a quarter of a millisecond."""
        infos = self._node.get_publishers_info_by_topic(self._topic)
        return [info for info in infos if info.topic_type == self.type_name]

    def have_settled(self, found: Sequence[TopicEndpointInfo]) -> bool:
        """Return whether these publishers are those of the last call, so that a subscription may be replaced.

        While Fast DDS connects a subscription to a new publisher, its destruction crashes the process or blocks it
        for good (https://github.com/eProsima/Fast-DDS/issues/3303).
        """
        before, self._last = self._last, frozenset(bytes(info.endpoint_gid) for info in found)
        return self._last == before


def fitting_reliability(found: Sequence[TopicEndpointInfo]) -> QoSReliabilityPolicy | None:
    """Return the reliability of a subscription to these publishers: reliable if each is; None without publishers.

    Best effort matches every publisher, but loses large images under the defaults of Fast DDS.
    """
    if not found:
        return None
    reliable, best_effort = QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT
    return reliable if all(info.qos_profile.reliability == reliable for info in found) else best_effort


def fitting_durability(found: Sequence[TopicEndpointInfo]) -> QoSDurabilityPolicy | None:
    """Return the durability of a subscription to these publishers: transient local if each is; None without.

    Volatile matches every publisher, but never gets a message that was published before the subscription.
    """
    if not found:
        return None
    latched, volatile = QoSDurabilityPolicy.TRANSIENT_LOCAL, QoSDurabilityPolicy.VOLATILE
    return latched if all(info.qos_profile.durability == latched for info in found) else volatile
