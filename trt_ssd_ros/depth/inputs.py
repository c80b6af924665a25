"""Inputs: subscriptions that exist only while the results are wanted, and the reason for their silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    QoSCompatibility,
    QoSDurabilityPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from trt_ssd_ros.ros.publishers import Publishers, fitting_durability, fitting_reliability
from trt_ssd_ros.ros.transport import without_events

UNKNOWN = "_NODE_NAME_UNKNOWN_"
"""Name that rcl gives to a node whose topics are discovered before its name."""
STOPPED = 1.0
"""Seconds without a message after which a publisher counts as stopped."""


class Input:
    """Subscription to one topic, with the reliability and durability that fit its publishers.

    Args:
        node: Node that subscribes.
        kind: Message type.
        topic: Name of the topic, before it is remapped.
        callback: Called with each message.
        depth: Number of messages that the middleware keeps.
        now: Steady clock in seconds.

    Attributes:
        topic: Full name of the topic.
        received: Number of messages since the last opening.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        depth: int = 1,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.topic = node.resolve_topic_name(topic)
        self.received = 0
        self._node = node
        self._kind = kind
        self._callback = callback
        self._depth = depth
        self._now = now
        self._arrived = now()
        self._policies = QoSReliabilityPolicy.RELIABLE, QoSDurabilityPolicy.VOLATILE
        self._publishers = Publishers(node, self.topic, kind)
        self._subscription: Subscription | None = None

    def open(self) -> None:
        """Subscribe; if the input is open, do nothing."""
        if self._subscription is None:
            self.received = 0
            self._policies = self._fitting(self._publishers.find())
            self._subscribe()

    def close(self) -> None:
        """Unsubscribe; if the input is closed, do nothing."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._node.destroy_subscription(subscription)

    def fit_publishers(self) -> None:
        """Subscribe again if the publishers need other policies, and are those of the last call."""
        if self._subscription is None:
            return
        publishers = self._publishers.find()
        policies = self._fitting(publishers)
        if self._publishers.have_settled(publishers) and policies != self._policies:
            self.close()
            self._policies = policies
            self._subscribe()

    def explain_silence(self) -> str:
        """Return the reason why the message that the caller looks for does not arrive, and what to do."""
        infos = self._node.get_publishers_info_by_topic(self.topic)
        if not infos:
            return f"{self.topic} has no publisher: start the node that publishes it, or remap the topic"
        expected = self._publishers.type_name
        fitting = [info for info in infos if info.topic_type == expected]
        node = _full_name((fitting or infos)[0])
        if not fitting:
            return f"{node} publishes {infos[0].topic_type} on {self.topic}, expected {expected}: remap the topic"
        compatibility, cause = qos_check_compatible(fitting[0].qos_profile, self._qos())
        if compatibility == QoSCompatibility.ERROR:
            return f"{node} publishes {self.topic} with another quality of service: {cause}"
        if self.received and self._now() - self._arrived < STOPPED:
            return (
                f"messages of {node} on {self.topic} arrive with older stamps: synchronise the clocks of the "
                "cameras, or raise max_wait"
            )
        if self.received:
            return f"{node} has stopped publishing {self.topic}: check that node"
        return f"{node} publishes {self.topic}, but no message arrives: check that node and the network"

    def _fitting(self, found: Sequence[TopicEndpointInfo]) -> tuple[QoSReliabilityPolicy, QoSDurabilityPolicy]:
        """Return the policies for these publishers; without any, those of the last subscription."""
        reliability, durability = self._policies
        return fitting_reliability(found) or reliability, fitting_durability(found) or durability

    def _qos(self) -> QoSProfile:
        reliability, durability = self._policies
        return QoSProfile(depth=self._depth, reliability=reliability, durability=durability)

    def _subscribe(self) -> None:
        self._subscription = self._node.create_subscription(
            self._kind, self.topic, self._receive, self._qos(), event_callbacks=without_events()
        )

    def _receive(self, message: Any) -> None:
        self.received += 1
        self._arrived = self._now()
        self._callback(message)


def _full_name(info: TopicEndpointInfo) -> str:
    if info.node_name == UNKNOWN:
        return "a node"
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
