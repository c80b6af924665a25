"""ImageInput: one camera's subscription to its images, raw or compressed; the executor waits for it and takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any, Protocol

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import Frame, FrameError, UnsupportedEncodingError, frame_from_message

TRANSPORTS = ("raw", "compressed")
RELIABILITIES = ("auto", "best_effort", "reliable")
NUMBER = "publication_sequence_number"
"""Counts the messages of a publisher; None with Cyclone DDS, missing in Humble."""


def transport_topic(topic: str, transport: str) -> str:
    """Return where a transport carries the images of a topic, as image_transport has it."""
    return topic if transport == "raw" or topic.endswith(f"/{transport}") else f"{topic}/{transport}"


class TakenByInference(CallbackGroup):
    """Callback group of subscriptions that no executor but the InferenceExecutor takes from.

    SingleThreadedExecutor asks the group; EventsExecutor ignores groups, so the node's `subscriptions` leave out
    its members as well.
    """

    def can_execute(self, _: Any) -> bool:
        """Return False: no other executor may take."""
        return False

    def beginning_execution(self, _: Any) -> bool:
        """Return False: no other executor may take."""
        return False

    def ending_execution(self, _: Any) -> None:
        """Do nothing: no callback of the group ever runs."""


class HiddenImages:
    """Mixin of a node, before rclpy's: its `subscriptions` leave out those of TakenByInference."""

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """Subscriptions that other executors may take from."""
        found: Iterator[Subscription] = super().subscriptions  # type: ignore[misc]
        return (item for item in found if not isinstance(item.callback_group, TakenByInference))


class Receiver(Protocol):
    """The part of a camera's channel that its input talks to, in the executor's thread."""

    def hold_back(self, now: float) -> float:
        """Return for how many seconds from now on (time.monotonic) no image is wanted."""

    def receive(self, message: Any) -> Any:
        """Note an image that was taken; returns it as the executor's callback gets it."""

    def reject(self, reason: str) -> None:
        """Count an image whose message cannot be deserialised, and say why."""


class SequenceGaps:
    """Counts the images between those that were taken, by the publisher's sequence numbers.

    The numbers of several publishers cannot be told apart, and those of a new one begin anew. Asking who publishes
    takes a quarter of a millisecond, too much to do for each gap. So gaps wait until `settle`, and count if one
    publisher was there all the time.

    Attributes:
        numbered: Whether the middleware numbers images; None before the first one.
    """

    def __init__(self) -> None:
        self.numbered: bool | None = None
        self._publishers: frozenset[Any] = frozenset()
        self._last: int | None = None
        self._pending: Counter[str] = Counter()
        self._lock = Lock()

    def restart(self) -> None:
        """Begin anew: what came before the next image was sent to no subscription."""
        with self._lock:
            self._last = None
            self._publishers = frozenset()

    def skip(self) -> None:
        """Note that the next image was taken, but that its number cannot be read."""
        with self._lock:
            self._last = None if self._last is None else self._last + 1

    def note(self, number: int | None, reason: str) -> None:
        """Note an image that was taken.

        Args:
            number: Its sequence number; None if the middleware has none.
            reason: Count that the images before it, which were not taken, belong to.
        """
        with self._lock:
            last, self._last = self._last, number
            self.numbered = number is not None
            if number is not None and last is not None and number > last + 1:
                self._pending[reason] += number - last - 1

    def settle(self, publishers: frozenset[Any]) -> Mapping[str, int]:
        """Return by reason the images that were not taken since the last time.

        Args:
            publishers: Identifiers of all publishers that are there now.
        """
        with self._lock:
            pending, self._pending = self._pending, Counter()
            alone = len(self._publishers | publishers) <= 1
            self._publishers = publishers or self._publishers
            if not alone:
                self._last = None
        return pending if alone else {}


class ImageSubscription:
    """One subscription, from its creation to its destruction; an `Input` of the executor.

    Args:
        subscription: The subscription; the node destroys it.
        kind: Type of its messages.
        receiver: The camera's channel.
        gaps: Counts the images that are not taken.
    """

    def __init__(self, subscription: Subscription, kind: Any, receiver: Receiver, gaps: SequenceGaps) -> None:
        self.subscription = subscription
        self.handle = subscription.handle
        self._gaps = gaps
        self._kind = kind
        self._receiver = receiver
        self._reason = "dropped"

    def hold_back(self, now: float) -> float:
        """Return for how many seconds `max_rate` holds the camera back; see `Input.hold_back`."""
        pause = self._receiver.hold_back(now)
        if pause > 0:
            self._reason = "rate_limited"
        return pause

    def add_to(self, wait_set: Any) -> None:
        """Add the subscription to an rclpy wait set."""
        wait_set.add_subscription(self.handle)

    def take(self, wait_set: Any) -> Any:
        """Take the newest image, if the wait set has one; see `Input.take`."""
        if self.handle.pointer not in wait_set.get_ready_entities("subscription"):
            return None
        try:
            taken = self.handle.take_message(self._kind, False)
        except Exception as error:  # rclpy and the type support raise what they like for bytes they cannot read
            self._gaps.skip()
            self._receiver.reject(f"the message cannot be read: {one_line(error)}")
            return None
        if taken is None:
            return None
        message, info = taken
        self._gaps.note(info.get(NUMBER), self._reason)
        self._reason = "dropped"
        return self._receiver.receive(message)


class ImageInput:
    """Opens and closes the subscription of one camera, and follows its publishers.

    Keep-last 1 in the middleware is the newest-frame slot: an image that is replaced there is never deserialised.
    So history and depth are fixed; `qos_overrides` allow durability and reliability (in place of the argument).

    Args:
        node: Subscribes; destroys the subscription.
        receiver: The camera's channel.
        transport: One of TRANSPORTS.
        reliability: One of RELIABILITIES; auto: reliable if every publisher is, else best effort, as rosbag2 does.
        changed: Called after a subscription was made or destroyed, so that the executor lists its inputs anew.

    Attributes:
        topic: Full name of the topic.
        type_name: Type of its messages, as `sensor_msgs/msg/Image`.
        qos: Quality of service that the input asks of publishers, `qos_overrides` included once it was open.
        opened: The subscription while it is open, else None.
        gaps: Counts the images that are not taken.

    Raises:
        ValueError: An override of the reliability is none of RELIABILITIES.
    """

    def __init__(
        self, node: Node, receiver: Receiver, transport: str, reliability: str, changed: Callable[[], None]
    ) -> None:
        self._type = CompressedImage if transport == "compressed" else Image
        self.topic = transport_topic(node.resolve_topic_name("image"), transport)
        self.type_name = f"sensor_msgs/msg/{self._type.__name__}"
        self.opened: ImageSubscription | None = None
        self.gaps = SequenceGaps()
        self._node = node
        self._receiver = receiver
        self._wanted = self._overridden(reliability)
        self._reliable = self._wanted == "reliable"
        self._changed = changed
        self._group = TakenByInference()
        self.qos = self._new_qos()
        self._warn_of_fixed_policies()

    def open(self) -> None:
        """Subscribe; further calls do nothing."""
        if self.opened is None:
            self.gaps.restart()
            self._choose_reliability(self.publishers())
            self._subscribe()
            self._changed()

    def close(self) -> None:
        """Unsubscribe; further calls do nothing. The endpoint leaves the graph once the executor lets go of it."""
        opened, self.opened = self.opened, None
        if opened is not None:
            self._node.destroy_subscription(opened.subscription)
            self._changed()

    def publishers(self) -> list[TopicEndpointInfo]:
        """Return who publishes images on the topic, in a quarter of a millisecond."""
        infos = self._node.get_publishers_info_by_topic(self.topic)
        return [info for info in infos if info.topic_type == self.type_name]

    def fit_reliability(self, publishers: list[TopicEndpointInfo]) -> None:
        """Subscribe anew if `auto` wants another reliability for these publishers than there is."""
        if self.opened is not None and self._choose_reliability(publishers):
            self._node.destroy_subscription(self.opened.subscription)
            self._subscribe()
            self._changed()

    def _choose_reliability(self, publishers: list[TopicEndpointInfo]) -> bool:
        """Choose the reliability that `auto` wants for these publishers; tells whether it is another than before."""
        reliable = all(info.qos_profile.reliability == QoSReliabilityPolicy.RELIABLE for info in publishers)
        if self._wanted != "auto" or not publishers or reliable == self._reliable:
            return False
        self._reliable = reliable
        why = "every publisher offers it" if reliable else "a publisher offers no more"
        named = "reliable" if reliable else "best effort"
        self._node.get_logger().info(f"subscribing to {self.topic} {named}, as {why} (image_reliability: auto)")
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
        self.opened = ImageSubscription(subscription, self._type, self._receiver, self.gaps)

    def _new_qos(self) -> QoSProfile:
        """Return a fresh profile: rclpy writes overrides into it."""
        best_effort, reliable = QoSReliabilityPolicy.BEST_EFFORT, QoSReliabilityPolicy.RELIABLE
        return QoSProfile(depth=1, reliability=reliable if self._reliable else best_effort)

    def _declare(self, policy: str, value: str | int) -> tuple[str, Any]:
        """Declare an override, whose first value rclpy would write into later profiles; returns name and value."""
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
                    f"{name}: found {found}, which is ignored: the node keeps the newest image only, because "
                    "older ones make results late"
                )


def _never_called(_: Any) -> None:
    """Do nothing: the InferenceExecutor takes from the subscription itself."""


def without_events() -> Any:
    """Return the event callbacks of a subscription that has none, not even rclpy's own.

    Up to rclpy 7.1.11 EventsExecutor ends with InvalidHandle where an event waits for a subscription that is
    destroyed in the same moment. None where rclpy has no such executor (Humble).
    """
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks  # noqa: PLC0415 - not in Humble
    except ImportError:
        return None
    return SubscriptionEventCallbacks(use_default_callbacks=False)


def read_image(message: Image | CompressedImage) -> Frame:
    """Return the pixels of an image message, as a view of the message where its layout allows.

    Encodings that `frame_from_message` does not know go to cv_bridge, if it is installed.

    Raises:
        FrameError: The image cannot be read; says what was found and what was expected.
    """
    if isinstance(message, CompressedImage):
        return Frame(decode_image(message.data, message.format), "bgr")
    try:
        return frame_from_message(message)
    except UnsupportedEncodingError as unsupported:
        try:
            from cv_bridge import CvBridge  # noqa: PLC0415 - optional, and heavy

            return Frame(CvBridge().imgmsg_to_cv2(message, desired_encoding="bgr8"), "bgr")
        except ImportError:
            raise unsupported from None
        except Exception as error:  # besides CvBridgeError, whatever NumPy and OpenCV raise inside it
            reason = one_line(error)
            raise FrameError(f"{unsupported}; cv_bridge cannot convert it either: {reason}") from error
