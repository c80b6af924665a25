"""ImageInput: subscription to the images of one camera, raw or compressed; the executor takes from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.node.channel_input import Receiver
from trt_ssd_ros.node.frame_counts import FrameCounts
from trt_ssd_ros.node.hidden_subscriptions import InferenceCallbackGroup
from trt_ssd_ros.node.image_messages import read_compressed, read_raw
from trt_ssd_ros.node.input_doctor import Publisher
from trt_ssd_ros.node.lost_images import LostImages
from trt_ssd_ros.node.sequence_gaps import SequenceGaps
from trt_ssd_ros.ros.publishers import Publishers, fitting_reliability
from trt_ssd_ros.ros.serialized_take import SerializedTake
from trt_ssd_ros.ros.transport import transport_topic, without_events

TRANSPORTS = ("raw", "compressed")
RELIABILITIES = ("auto", "best_effort", "reliable")


class ImageSubscription:
    """One subscription, from its creation to its destruction; an `Input` of the executor.

    Args:
        subscription: Subscription of the node; the node destroys it.
        read: Reads a serialised message.
        receiver: Channel of the camera.
        gaps: Counter of images that are not taken.

    Attributes:
        receiver: Channel of the camera.
        lost: Counter of images that are lost in transport.
    """

    def __init__(
        self,
        subscription: Subscription,
        read: Callable[[memoryview], Any],
        receiver: Receiver,
        gaps: SequenceGaps,
    ) -> None:
        self.subscription = subscription
        self.handle = subscription.handle
        self.lost = LostImages(self.handle)
        self._gaps = gaps
        self._take = SerializedTake(self.handle)
        self._read = read
        self.receiver = receiver
        self._reason = "dropped"
        self._index = 0

    def throttle_delay(self, now: float) -> float:
        """Return the seconds until `max_rate` admits an image; see `Input.throttle_delay`."""
        pause = self.receiver.throttle_delay(now)
        if pause > 0:
            self._reason = "rate_limited"
        return pause

    def add_to(self, wait_set: Any) -> None:
        """Add the subscription to an rclpy wait set."""
        self._index = wait_set.add_subscription(self.handle)

    def is_ready(self, wait_set: Any) -> bool:
        """Return whether the subscription has an image; see `Input.is_ready`."""
        return bool(wait_set.is_ready("subscription", self._index))

    def take(self) -> Any:
        """Take the newest image; see `Input.take`."""
        try:
            taken = self._take()
        except RuntimeError as error:
            self._gaps.skip()
            return self._reject(error)
        if taken is None:
            return None
        self._gaps.note(taken.number, self._reason)
        self._reason = "dropped"
        try:
            message = self._read(taken.content)
        except ValueError as error:
            return self._reject(error)
        return self.receiver.receive(message)

    def _reject(self, error: Exception) -> None:
        self.receiver.reject(f"the message cannot be read: {one_line(error)}")


class ImageInput:
    """Image input of one camera: its subscription, with a reliability that adapts to the publishers.

    See `ChannelInput`. Keep-last 1 in the middleware is the newest-frame slot: an image that is replaced there is
    never deserialised. So history and depth are fixed; `qos_overrides` set durability and reliability (in place of
    the argument).

    Args:
        node: Node that creates and destroys the subscription.
        topic: Name of the topic, before it is remapped.
        receiver: Channel of the camera.
        transport: One of TRANSPORTS.
        reliability: One of RELIABILITIES; auto: reliable if every publisher is, else best effort, as in rosbag2.
        changed: Called when a subscription was created or destroyed, so that the executor lists its inputs again.

    Attributes:
        topic: Full name of the topic.
        origin: Origin of the images, for the log.
        type_name: Message type, e.g. `sensor_msgs/msg/Image`.
        qos: Quality of service requested from publishers, including `qos_overrides` after the first opening.
        opened: Open subscription; None while the input is closed.
        gaps: Counter of images that are not taken.
        camera: None: images come from a topic.

    Raises:
        ValueError: The override of the reliability is none of RELIABILITIES.
    """

    camera = None

    def __init__(
        self,
        node: Node,
        topic: str,
        receiver: Receiver,
        transport: str,
        reliability: str,
        changed: Callable[[], None],
    ) -> None:
        self._type = CompressedImage if transport == "compressed" else Image
        self.topic = transport_topic(node.resolve_topic_name(topic), transport)
        self.origin = f"on {self.topic}"
        self._publishers = Publishers(node, self.topic, self._type)
        self.type_name = self._publishers.type_name
        self.opened: ImageSubscription | None = None
        self.gaps = SequenceGaps()
        self._node = node
        self._receiver = receiver
        self._wanted = self._overridden(reliability)
        self._reliable = self._wanted == "reliable"
        self._changed = changed
        self._group = InferenceCallbackGroup()
        self.qos = self._new_qos()
        self._warn_of_fixed_policies()

    def open(self) -> None:
        """Subscribe; if the input is open, do nothing."""
        if self.opened is None:
            self.gaps.restart()
            self._choose_reliability(self.publishers())
            self._subscribe()
            self._changed()

    def close(self) -> None:
        """Unsubscribe; if the input is closed, do nothing.

        The endpoint leaves the graph once the executor releases it.
        """
        opened, self.opened = self.opened, None
        if opened is not None:
            self._unsubscribe(opened)
            self._changed()

    def count_missed(self, counts: FrameCounts) -> None:
        """Count the images that were not taken, and adapt the reliability; see `ChannelInput.count_missed`."""
        publishers = self.publishers()
        missed = self.gaps.collect(frozenset(tuple(info.endpoint_gid) for info in publishers))
        for reason, number in missed.items():
            counts.add(reason, number)
        if self.gaps.numbered is False and counts.numbered is not False:
            self._node.get_logger().info("the middleware does not number images: dropped images are not counted")
        counts.numbered = self.gaps.numbered
        lost = self.opened.lost.collect() if self.opened is not None else 0
        counts.reports_lost = lost is not None
        counts.lost += lost or 0
        self.fit_reliability(publishers)

    def list_publishers(self) -> Sequence[Publisher]:
        """Return all publishers of the topic; see `ChannelInput.list_publishers`."""
        return [self._describe(info) for info in self._node.get_publishers_info_by_topic(self.topic)]

    def list_image_topics(self) -> Sequence[str]:
        """Return the topics of this type on which other nodes publish; see `ChannelInput.list_image_topics`."""
        ours = {publisher.topic_name for publisher in self._node.publishers}
        return [
            name
            for name, types in self._node.get_topic_names_and_types()
            if self.type_name in types and name not in ours and self._node.count_publishers(name)
        ]

    def _describe(self, info: TopicEndpointInfo) -> Publisher:
        fit, reason = qos_check_compatible(info.qos_profile, self.qos)
        return Publisher(
            node=f"{info.node_namespace.rstrip('/')}/{info.node_name}",
            type=info.topic_type,
            mismatch=reason if fit == QoSCompatibility.ERROR else "",
            best_effort=info.qos_profile.reliability == QoSReliabilityPolicy.BEST_EFFORT,
        )

    def publishers(self) -> list[TopicEndpointInfo]:
        """Return the publishers of images on the topic; takes a quarter of a millisecond."""
        return self._publishers.find()

    def fit_reliability(self, publishers: list[TopicEndpointInfo]) -> None:
        """Subscribe again if `auto` selects another reliability for these publishers, those of the last call."""
        is_settled = self._publishers.have_settled(publishers)
        if self.opened is not None and is_settled and self._choose_reliability(publishers):
            self._unsubscribe(self.opened)
            self._subscribe()
            self._changed()

    def _choose_reliability(self, publishers: list[TopicEndpointInfo]) -> bool:
        """Choose the reliability of `auto` for these publishers; return whether it changed."""
        fitting = fitting_reliability(publishers)
        reliable = fitting == QoSReliabilityPolicy.RELIABLE
        if self._wanted != "auto" or fitting is None or reliable == self._reliable:
            return False
        self._reliable = reliable
        choice = "reliable: every publisher is" if reliable else "best effort: a publisher is best effort"
        self._node.get_logger().info(f"subscribing to {self.topic} as {choice} (image_reliability: auto)")
        return True

    def _subscribe(self) -> None:
        self.qos = self._new_qos()
        subscription = self._node.create_subscription(
            self._type,
            self.topic,
            _never_called,
            self.qos,
            callback_group=self._group,
            event_callbacks=without_events(),
            qos_overriding_options=QoSOverridingOptions([QoSPolicyKind.DURABILITY]),
        )
        read = read_compressed if self._type is CompressedImage else read_raw
        self.opened = ImageSubscription(subscription, read, self._receiver, self.gaps)

    def _unsubscribe(self, opened: ImageSubscription) -> None:
        opened.lost.close()
        self._node.destroy_subscription(opened.subscription)

    def _new_qos(self) -> QoSProfile:
        """Return a new profile, because rclpy writes overrides into it."""
        best_effort, reliable = QoSReliabilityPolicy.BEST_EFFORT, QoSReliabilityPolicy.RELIABLE
        return QoSProfile(depth=1, reliability=reliable if self._reliable else best_effort)

    def _declare(self, policy: str, value: str | int) -> tuple[str, Any]:
        """Declare an override, and return its name and value."""
        # Not by QoSOverridingOptions, with which rclpy writes the first value into later profiles.
        name = f"qos_overrides.{self.topic}.subscription.{policy}"
        return name, self._node.declare_parameter(name, value, ParameterDescriptor(read_only=True)).value

    def _overridden(self, reliability: str) -> str:
        name, found = self._declare("reliability", reliability)
        if found not in RELIABILITIES:
            raise ValueError(f"{name}: found {found}, expected {' or '.join(RELIABILITIES)}")
        return str(found)

    def _warn_of_fixed_policies(self) -> None:
        for policy, fixed in (("history", "keep_last"), ("depth", 1)):
            name, found = self._declare(policy, fixed)
            if found != fixed:
                self._node.get_logger().warning(
                    f"{name}: found {found}, which is ignored: the node keeps only the newest image, because "
                    "older images delay the results"
                )


def _never_called(_: Any) -> None:
    """Do nothing: the InferenceExecutor takes from the subscription without a callback."""
