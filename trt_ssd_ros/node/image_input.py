"""ImageInput: the subscription to the images, raw or compressed, and how their pixels are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import Frame, FrameError, UnsupportedEncodingError, frame_from_message
from trt_ssd_ros.ros.transport import OVERRIDABLE, newest_image

MessageInfo = Mapping[str, Any]
NUMBER = "publication_sequence_number"
"""Counts what a publisher sent; None with Cyclone DDS, nothing in Humble."""


def with_info(callback: Callable[[Any, MessageInfo], None]) -> Callable[..., None]:
    """Return a subscription callback that gets a message and its info from every executor of every rclpy.

    Jazzy's executors pass two arguments, but for its EventsExecutor (up to rclpy 7.1.11), which passes one tuple:
    HandleSubscriptionReady in rclpy/src/rclpy/events_executor/events_executor.cpp. Humble passes the message
    alone; its info is then empty.
    """

    def receive(*received: Any) -> None:
        if len(received) == 1:
            received = received[0] if isinstance(received[0], tuple) else (received[0], {})
        callback(*received)

    receive.__signature__ = inspect.signature(callback)  # type: ignore[attr-defined]
    return receive


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


def publishers_of(node: Node, topic: str) -> frozenset[tuple[int, ...]]:
    """Return the global identifiers of all publishers of a topic."""
    return frozenset(tuple(info.endpoint_gid) for info in node.get_publishers_info_by_topic(topic))


class SequenceGaps:
    """Finds the messages that the middleware dropped, from the sequence numbers of those that arrived.

    The numbers of several publishers cannot be told apart, and those of a new one begin anew, so a gap counts only
    where one publisher is there before and after it; nor does it on a middleware that gives no numbers.

    Args:
        publishers: Returns who publishes; asked where the numbers do not follow each other.
    """

    def __init__(self, publishers: Callable[[], frozenset[Any]]) -> None:
        self._ask = publishers
        self._publishers: frozenset[Any] = frozenset()
        self._last: int | None = None

    def missing_before(self, info: MessageInfo) -> int:
        """Return how many messages went missing just before this one.

        Args:
            info: What came with the message.
        """
        number: int | None = info.get(NUMBER)
        last, self._last = self._last, number
        if number is None or (last is not None and number == last + 1 and self._publishers):
            return 0
        before, self._publishers = self._publishers, self._ask()
        if last is None or number <= last or len(before) != 1 or before != self._publishers:
            return 0
        return number - last - 1

    def restart(self) -> None:
        """Forget what came before, as when nothing was received for a while on purpose."""
        self._last = None


TRANSPORTS = ("raw", "compressed")


def transport_topic(topic: str, transport: str) -> str:
    """Return where a transport carries the images of a topic, as image_transport has it."""
    return topic if transport == "raw" or topic.endswith(f"/{transport}") else f"{topic}/{transport}"


class ImageInput:
    """Subscribes to the images and counts what the middleware drops, while it is open.

    Args:
        node: Subscribes.
        receive: Gets every image, in the node's thread.
        transport: One of TRANSPORTS.

    Attributes:
        topic: Full name of the topic.
        type_name: What is expected on it.
        qos: What is asked of its publishers, `qos_overrides` included once it was open.
        lost: Images missing in the publisher's sequence numbers.
    """

    def __init__(self, node: Node, receive: Callable[[Any], None], transport: str = "raw") -> None:
        self._type = CompressedImage if transport == "compressed" else Image
        self.topic = transport_topic(node.resolve_topic_name("image"), transport)
        self.type_name = f"sensor_msgs/msg/{self._type.__name__}"
        self.qos = newest_image()
        self.lost = 0
        self._node = node
        self._receive = receive
        self._said_no_numbers = False
        self._gaps = SequenceGaps(partial(publishers_of, node, self.topic))
        self._subscription: Subscription | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a subscription."""
        return self._subscription is not None

    def open(self) -> None:
        """Subscribe; further calls do nothing."""
        if self._subscription is None:
            self._gaps.restart()
            self._subscription = self._node.create_subscription(
                self._type,
                self.topic,
                with_info(self._count_and_pass),
                self.qos,
                event_callbacks=without_events(),
                qos_overriding_options=OVERRIDABLE,
            )

    def close(self) -> None:
        """Unsubscribe; further calls do nothing."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _count_and_pass(self, message: Any, info: MessageInfo) -> None:
        if self._subscription is None:
            return
        if not self._said_no_numbers and info.get(NUMBER) is None:
            self._said_no_numbers = True
            self._node.get_logger().info("the middleware does not number images: those that it loses go uncounted")
        self.lost += self._gaps.missing_before(info)
        self._receive(message)


def read_image(message: Image | CompressedImage) -> Frame:
    """Return the pixels of an image message, as a view of the message where its layout allows.

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
