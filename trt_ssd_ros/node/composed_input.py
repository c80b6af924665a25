"""ComposedInput: image input from a camera node in the same process, without a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Header

from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.node.channel_input import Receiver
from trt_ssd_ros.node.frame_counts import FrameCounts
from trt_ssd_ros.node.input_doctor import Publisher


@dataclass(frozen=True, eq=False)
class CapturedImage:
    """Image of a camera in this process.

    Attributes:
        header: Header of the image; the stamp is the time of its capture.
        frame: Image; its pixels are never changed.
    """

    header: Header
    frame: Frame

    @property
    def encoding(self) -> str:
        """Encoding, as in the image's message."""
        return f"{self.frame.channel_order}8"


class ComposedInput:
    """Image input from a camera of the same process: a slot for its newest image; an `Input` of the executor.

    The camera's thread puts images into the slot, and the executor takes them. See `ChannelInput`.

    Args:
        node: Node of the channel.
        topic: Name of the topic on which the camera publishes its images for others, before it is remapped.
        receiver: Channel of the camera.
        transport: Not used, as images are not sent; a warning if it is not raw.
        reliability: Not used; images are not sent.
        changed: Called when the executor has to look at its inputs again.

    Attributes:
        topic: Full name of that topic.
        origin: Origin of the images, for the log.
        type_name: Message type of the topic.
        receiver: Channel of the camera.
        handle: Handle for the executor's wait, which holds nothing.
        describe: Function that returns the state of the camera; set by the camera.
    """

    type_name = "sensor_msgs/msg/Image"

    def __init__(
        self,
        node: Node,
        topic: str,
        receiver: Receiver,
        transport: str,
        reliability: str,  # noqa: ARG002 - the interface of inputs
        changed: Callable[[], None],
    ) -> None:
        self.topic = node.resolve_topic_name(topic)
        self.origin = "of the camera in this process"
        self.handle: AbstractContextManager[Any] = nullcontext()
        self.describe: Callable[[], str] = lambda: "it has not started"
        self.receiver = receiver
        self._wake = changed
        if transport != "raw":
            node.get_logger().warning(f"image_transport: {transport} is not used: the camera is in this process")
        _warn_of_overrides(node, self.topic)
        self._lock = Lock()
        self._is_open = False
        self._newest: CapturedImage | None = None
        self._throttled = False
        self._reason = "dropped"
        self._missed: Counter[str] = Counter()

    @property
    def opened(self) -> ComposedInput | None:
        """This input while it is open; see `ChannelInput.opened`."""
        return self if self._is_open else None

    @property
    def camera(self) -> str:
        """State of the camera; see `ChannelInput.camera`."""
        return self.describe()

    def open(self) -> None:
        """Start to receive images; see `ChannelInput.open`."""
        with self._lock:
            self._is_open = True
        self._wake()

    def close(self) -> None:
        """Stop receiving images, and forget an image that was not taken; see `ChannelInput.close`."""
        with self._lock:
            self._is_open = False
            self._newest = None
        self._wake()

    def put(self, image: CapturedImage) -> None:
        """Replace the newest image; while the input is closed, do nothing. Called in the camera's thread."""
        with self._lock:
            if not self._is_open:
                return
            if self._newest is not None:
                self._missed[self._reason] += 1
            self._newest = image
            wanted = not self._throttled
        if wanted:
            self._wake()

    def throttle_delay(self, now: float) -> float:
        """Return the seconds until `max_rate` admits an image; see `Input.throttle_delay`."""
        pause = self.receiver.throttle_delay(now)
        with self._lock:
            self._throttled = pause > 0
            if self._throttled:
                self._reason = "rate_limited"
        return pause

    def add_to(self, wait_set: Any) -> None:  # noqa: ARG002 - the interface of inputs
        """Let the wait end at once if there is an image: no entity of ROS stands for the slot."""
        if self._newest is not None:
            self._wake()

    def is_ready(self, wait_set: Any) -> bool:  # noqa: ARG002 - the interface of inputs
        """Return whether the slot has an image; see `Input.is_ready`."""
        return self._newest is not None

    def take(self) -> Any:
        """Take the newest image, if there is one; see `Input.take`."""
        with self._lock:
            image, self._newest = self._newest, None
            if image is None:
                return None
            self._reason = "dropped"
        return self.receiver.receive(image)

    def count_missed(self, counts: FrameCounts) -> None:
        """Add the images that newer ones have replaced; see `ChannelInput.count_missed`."""
        with self._lock:
            missed, self._missed = self._missed, Counter()
        for reason, number in missed.items():
            counts.add(reason, number)
        counts.numbered = True

    def list_publishers(self) -> Sequence[Publisher]:
        """Return no publisher: images do not come from a topic."""
        return ()

    def list_image_topics(self) -> Sequence[str]:
        """Return no topic: images do not come from a topic."""
        return ()


def _warn_of_overrides(node: Node, topic: str) -> None:
    """Warn of overrides of a subscription that does not exist."""
    for name in node._parameter_overrides:
        if name.startswith(f"qos_overrides.{topic}.subscription."):
            node.get_logger().warning(f"{name} is not used: the camera is in this process")
