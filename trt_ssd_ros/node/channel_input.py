"""ChannelInput: interface of a camera's image input to its channel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from trt_ssd_ros.node.frame_counts import FrameCounts
from trt_ssd_ros.node.inference_executor import Input
from trt_ssd_ros.node.input_doctor import Publisher


class Receiver(Protocol):
    """Interface of a camera's channel to its input, called in the executor's thread."""

    @property
    def batch_key(self) -> Hashable:
        """Value that the cameras of a batch have in common."""

    @property
    def views(self) -> int:
        """Number of views of an image, which take a place of the batch each."""

    def throttle_delay(self, now: float) -> float:
        """Return the seconds from `now` (time.monotonic) until the next image is wanted."""

    def receive(self, message: Any) -> Any:
        """Record an image that was taken, and return the value for the executor's callback."""

    def reject(self, reason: str) -> None:
        """Count an image whose message cannot be deserialised, and log the reason."""


class ChannelInput(Protocol):
    """Image input of one camera; the main thread calls its methods.

    Attributes:
        topic: Full name of the topic, also of one that is not used.
        origin: Origin of the images, for the log, e.g. `on /image_raw`.
    """

    topic: str
    origin: str

    @property
    def opened(self) -> Input | None:
        """Input for the executor; None while the input is closed."""

    @property
    def type_name(self) -> str:
        """Message type, e.g. `sensor_msgs/msg/Image`."""

    @property
    def camera(self) -> str | None:
        """State of the camera in this process; None if the images come from a topic."""

    def open(self) -> None:
        """Start to receive images; if the input is open, do nothing."""

    def close(self) -> None:
        """Stop receiving images; if the input is closed, do nothing."""

    def count_missed(self, counts: FrameCounts) -> None:
        """Add the images that were not taken since the last call; called once a second."""

    def list_publishers(self) -> Sequence[Publisher]:
        """Return all publishers of the topic, of any type."""

    def list_image_topics(self) -> Sequence[str]:
        """Return the topics of this type on which other nodes publish."""
