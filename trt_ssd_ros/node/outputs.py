"""ResultPublisher: what the detector node publishes about images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.detection.region import WHOLE_IMAGE
from trt_ssd_ros.images.compressed import encode_jpeg
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.node.annotations import Annotator, load_foxglove_messages
from trt_ssd_ros.node.image_input import transport_topic
from trt_ssd_ros.node.messages import (
    compressed_to_msg,
    detections_to_msg,
    image_to_msg,
    label_info_to_msg,
    nanoseconds,
)
from trt_ssd_ros.node.settings import DetectionSettings
from trt_ssd_ros.ros.transport import OVERRIDABLE

RESULTS = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
RECENT = 30
"""Images that the rate in debug_image is of."""
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class ResultPublisher:
    """Publishes detections, the image with its boxes, and the names of the classes.

    Args:
        node: Publishes.
        labels: Name of each class id.
        annotations: Whether annotations are asked for.
    """

    def __init__(self, node: Node, labels: Sequence[str], annotations: bool = False) -> None:
        self._node = node
        self._labels = labels
        self._published: deque[float] = deque(maxlen=RECENT)
        self._label_info = node.create_publisher(LabelInfo, "label_info", LATCHED)
        self._detections = node.create_publisher(
            Detection2DArray, "detections", RESULTS, qos_overriding_options=OVERRIDABLE
        )
        self._debug_image = node.create_publisher(
            Image, "debug_image", RESULTS, qos_overriding_options=OVERRIDABLE
        )
        compressed = transport_topic(node.resolve_topic_name("debug_image"), "compressed")
        self._debug_compressed = node.create_publisher(
            CompressedImage, compressed, RESULTS, qos_overriding_options=OVERRIDABLE
        )

        self._annotations: Publisher | None = None
        if annotations:
            self._prepare_annotations()

    def _prepare_annotations(self) -> None:
        try:
            messages = load_foxglove_messages()
        except RuntimeError as error:
            self._node.get_logger().warning(str(error))
            return
        self._annotator = Annotator(self._labels, messages)
        self._annotations = self._node.create_publisher(messages.ImageAnnotations, "annotations", RESULTS)

    def announce(self, settings: DetectionSettings) -> None:
        """Publish the names of the classes and the lowest score reported."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._label_info.publish(label_info_to_msg(self._labels, settings.thresholds.lowest, header))

    def publish(self, header: Header, detections: Detections, settings: DetectionSettings) -> None:
        """Publish what was found in an image."""
        message = detections_to_msg(detections, header, self._labels, settings.class_id_format)
        self._detections.publish(message)
        self._published.append(monotonic())

    def draw(
        self, header: Header, frame: Frame, detections: Detections, settings: DetectionSettings
    ) -> Callable[[], None] | None:
        """Draw the image with its boxes and return what publishes it; None if nobody looks."""
        messages: list[tuple[Publisher, Any]] = []
        height, width = frame.pixels.shape[:2]
        if self._annotations is not None and _has_subscribers(self._annotations):
            message = self._annotator.annotate(detections, header.stamp, (width, height), settings.style)
            messages.append((self._annotations, message))
        raw = settings.debug_image and _has_subscribers(self._debug_image)
        compressed = settings.debug_image and _has_subscribers(self._debug_compressed)
        if raw or compressed:
            drawn = self._drawn(header, frame, detections, settings)
        if raw:
            messages.append((self._debug_image, image_to_msg(drawn, frame.channel_order, header)))
        if compressed:
            jpeg = encode_jpeg(drawn, frame.channel_order)
            messages.append((self._debug_compressed, compressed_to_msg(jpeg, header)))
        return partial(_publish_all, messages) if messages else None

    def _drawn(
        self, header: Header, frame: Frame, detections: Detections, settings: DetectionSettings
    ) -> NDArray[np.uint8]:
        height, width = frame.pixels.shape[:2]
        region = None if settings.region == WHOLE_IMAGE else settings.region.window(width, height)
        note = self._timing(header) if settings.style.timing else ""
        return draw_detections(
            frame.pixels, detections, self._labels, frame.channel_order, settings.style, region, note
        )

    def _timing(self, header: Header) -> str:
        """Return how old the image is, if it has a stamp, and how many are detected in a second."""
        stamp, times = nanoseconds(header.stamp), self._published
        age = (self._node.get_clock().now().nanoseconds - stamp) / 1e6
        latency = f"{age:.0f} ms  " if stamp else ""
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
        return f"{latency}{rate:.1f} Hz"


def _has_subscribers(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0


def _publish_all(messages: Iterable[tuple[Publisher, Any]]) -> None:
    for publisher, message in messages:
        publisher.publish(message)
