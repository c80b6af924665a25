"""ImageInput: the subscription to the images, raw or compressed, while there is one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from trt_ssd_ros.ros.message_info import (
    NUMBER,
    MessageInfo,
    SequenceGaps,
    publishers_of,
    with_info,
    without_events,
)
from trt_ssd_ros.ros.transport import OVERRIDABLE, newest_image

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
