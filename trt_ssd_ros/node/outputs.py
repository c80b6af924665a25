"""Outputs of one camera, one class per topic. A new topic needs a class and an entry in `Outputs`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.images.compressed import encode_jpeg, of_size
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.images.resize import Resize
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.annotations import Annotator, load_foxglove_messages
from trt_ssd_ros.node.detected_frame import DetectedFrame
from trt_ssd_ros.node.detection_encoder import encode_detections, encoder_fits
from trt_ssd_ros.node.messages import (
    compressed_to_msg,
    detections_to_msg,
    image_to_msg,
    label_info_to_msg,
)
from trt_ssd_ros.node.settings import DetectionSettings
from trt_ssd_ros.ros.stamps import nanoseconds, now_of
from trt_ssd_ros.ros.transport import OVERRIDABLE, RESULTS, transport_topic

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
RECENT = 30
"""Number of images in the rate that debug_image shows."""


class Output(ABC):
    """One published topic.

    Args:
        node: Node that publishes.
        kind: Message type.
        topic: Name of the topic, with the camera's name before it.
        overridable: Whether `qos_overrides` parameters change the quality of service.
    """

    def __init__(self, node: Node, kind: Any, topic: str, overridable: bool = True) -> None:
        options = OVERRIDABLE if overridable else None
        self._publisher = node.create_publisher(kind, topic, RESULTS, qos_overriding_options=options)

    def is_wanted(self, settings: DetectionSettings) -> bool:  # noqa: ARG002 - other topics ask the settings
        """Return whether the topic has a subscriber."""
        # By the handle: the publisher's own method holds it meanwhile, and so takes four times as long.
        return bool(self._publisher.handle.get_subscription_count() > 0)

    def is_due(self, found: DetectedFrame) -> bool:
        """Return whether the message for an image is to be published now; call it once for each image."""
        return self.is_wanted(found.settings)

    @abstractmethod
    def message(self, found: DetectedFrame) -> Any:
        """Return the message for one image."""

    def publish(self, message: Any) -> None:
        """Publish a message that `message` returned."""
        self._publisher.publish(message)


class DetectionsOutput(Output):
    """`detections`: one message per processed image, also without detections."""

    def __init__(self, node: Node, card: ModelCard, prefix: str = "") -> None:
        super().__init__(node, Detection2DArray, f"{prefix}detections")
        ids = [str(card.first_class_id + index) for index in range(len(card.labels))]
        self._class_ids = {"name": card.labels, "id": ids}
        self._convert = encode_detections if encoder_fits() else detections_to_msg

    def message(self, found: DetectedFrame) -> Detection2DArray | bytes:
        """Return the message for one image, serialised if possible, which costs less; see `Output.message`."""
        return self._convert(found.detections, found.header, self._class_ids[found.settings.class_id_format])


class Painter:
    """Renderer that draws an image with its boxes once for all topics that show it.

    Args:
        node: Node whose clock measures the latency.
        labels: Name of each class id.
    """

    def __init__(self, node: Node, labels: Sequence[str]) -> None:
        self._node = node
        self._labels = labels
        self._drawn_at: deque[float] = deque(maxlen=RECENT)
        self._newest: tuple[DetectedFrame, NDArray[np.uint8]] | None = None

    def picture(self, found: DetectedFrame) -> NDArray[np.uint8]:
        """Return the image with its boxes, (H, W, 3) uint8 in the frame's channel order."""
        if self._newest is None or self._newest[0] is not found:
            self._drawn_at.append(monotonic())
            self._newest = found, self._draw(found)
        return self._newest[1]

    def _draw(self, found: DetectedFrame) -> NDArray[np.uint8]:
        frame, settings = found.frame, found.settings
        height, width = frame.size
        views = () if settings.views.is_whole_image else settings.views.windows(width, height)
        note = self._timing(found.header) if settings.style.timing else ""
        return draw_detections(
            frame.pixels, found.detections, self._labels, frame.channel_order, settings.style, views, note
        )

    def _timing(self, header: Header) -> str:
        """Return the image's age in ms, if it has a stamp, and the number of drawn images per second."""
        stamp, times = nanoseconds(header.stamp), self._drawn_at
        age = (now_of(self._node.get_clock()) - stamp) / 1e6
        latency = f"{age:.0f} ms  " if stamp else ""
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
        return f"{latency}{rate:.1f} Hz"


class DebugImageOutput(Output):
    """`debug_image`: the image with its boxes."""

    def __init__(self, node: Node, painter: Painter, prefix: str = "") -> None:
        super().__init__(node, Image, f"{prefix}debug_image")
        self._painter = painter

    def is_wanted(self, settings: DetectionSettings) -> bool:
        """Return whether the topic has a subscriber and the parameter `debug_image` is true."""
        return settings.debug_image and super().is_wanted(settings)

    def message(self, found: DetectedFrame) -> Image:
        """Return the message for one image; see `Output.message`."""
        return image_to_msg(self._painter.picture(found), found.frame.channel_order, found.header)


class CompressedDebugImageOutput(Output):
    """`debug_image/compressed`: the image with its boxes as JPEG."""

    def __init__(self, node: Node, painter: Painter, prefix: str = "") -> None:
        topic = transport_topic(node.resolve_topic_name(f"{prefix}debug_image"), "compressed")
        super().__init__(node, CompressedImage, topic)
        self._painter = painter

    def is_wanted(self, settings: DetectionSettings) -> bool:
        """Return whether the topic has a subscriber and the parameter `debug_image` is true."""
        return settings.debug_image and super().is_wanted(settings)

    def message(self, found: DetectedFrame) -> CompressedImage:
        """Return the message for one image; see `Output.message`."""
        jpeg = encode_jpeg(self._painter.picture(found), found.frame.channel_order)
        return compressed_to_msg(jpeg, found.header)


class PreviewOutput(Output):
    """`preview/compressed`: the image without boxes, small, as JPEG; the web page shows it.

    The `format` ends with the size of the image (`of_size`), because the boxes of `detections` are in its pixels.
    """

    def __init__(self, node: Node, prefix: str = "") -> None:
        topic = transport_topic(node.resolve_topic_name(f"{prefix}preview"), "compressed")
        super().__init__(node, CompressedImage, topic)
        self._rate_limit = RateLimit()

    def is_due(self, found: DetectedFrame) -> bool:
        """Return whether the topic has a subscriber and `preview_rate` admits a picture now."""
        return super().is_due(found) and self._rate_limit.admits(found.settings.preview.rate, monotonic())

    def message(self, found: DetectedFrame) -> CompressedImage:
        """Return the message for one image; see `Output.message`."""
        frame, preview = found.frame, found.settings.preview
        height, width = frame.size
        picture = encode_jpeg(_narrowed(frame, preview.width), frame.channel_order, preview.quality)
        return compressed_to_msg(picture, found.header, of_size(width, height))


def _narrowed(frame: Frame, most: int) -> NDArray[np.uint8]:
    """Return a frame's pixels (H, W, 3), at most `most` columns wide."""
    height, width = frame.size
    if width <= most:
        return frame.pixels
    size = most, max(1, round(height * most / width))
    if width <= 2 * most:  # a bilinear resize takes a third of the time, and skips no pixel
        return frame.resized(Resize(*size, "half_pixel"))
    return np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


class AnnotationsOutput(Output):
    """`annotations`: boxes and names, which Foxglove draws over the image.

    Raises:
        RuntimeError: foxglove_msgs is not installed; the message names the package to install.
    """

    def __init__(self, node: Node, labels: Sequence[str], prefix: str = "") -> None:
        messages = load_foxglove_messages()
        super().__init__(node, messages.ImageAnnotations, f"{prefix}annotations", overridable=False)
        self._annotator = Annotator(labels, messages)

    def message(self, found: DetectedFrame) -> Any:
        """Return the message for one image; see `Output.message`."""
        height, width = found.frame.size
        style = found.settings.style
        return self._annotator.annotate(found.detections, found.header.stamp, (width, height), style)


class Outputs:
    """All topics of one camera.

    Args:
        node: Node that publishes.
        card: Model card with the class names and ids.
        annotations: Whether to publish `annotations`; if foxglove_msgs is missing, the log names the package.
        prefix: Beginning of the topics' names, e.g. `front/`.

    Attributes:
        detections: Topic that is published for every image.
        optional: Topics that are published only while they have a subscriber, in the order of publishing.
    """

    def __init__(self, node: Node, card: ModelCard, annotations: bool = False, prefix: str = "") -> None:
        painter = Painter(node, card.labels)
        self.detections = DetectionsOutput(node, card, prefix)
        self.optional: list[Output] = [
            DebugImageOutput(node, painter, prefix),
            CompressedDebugImageOutput(node, painter, prefix),
            PreviewOutput(node, prefix),
        ]
        if annotations:
            try:
                self.optional.insert(0, AnnotationsOutput(node, card.labels, prefix))
            except RuntimeError as error:
                node.get_logger().warning(str(error))

    def are_wanted(self, settings: DetectionSettings) -> bool:
        """Return whether a topic with results has a subscriber; label_info is none."""
        return any(output.is_wanted(settings) for output in (self.detections, *self.optional))


class LabelInfoOutput:
    """`label_info`: class names and the lowest reported score, latched.

    Args:
        node: Node that publishes.
        card: Model card with the class names and ids.
    """

    def __init__(self, node: Node, card: ModelCard) -> None:
        self._node = node
        self._classes = card.classes
        self._publisher = node.create_publisher(LabelInfo, "label_info", LATCHED)

    def announce(self, lowest: float) -> None:
        """Publish the class names and the lowest reported score of any camera."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._publisher.publish(label_info_to_msg(self._classes, lowest, header))
