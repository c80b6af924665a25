"""CameraPictures: the pictures and boxes of one camera, while a viewer looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from posixpath import join
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2DArray, Detection3DArray

from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.images.compressed import original_size
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.ros.transport import newest_image, transport_topic, without_events
from trt_ssd_ros.web.matching import Detected, FrameMatcher, Picture, Placed
from trt_ssd_ros.web.messages import boxes_of, distances_of
from trt_ssd_ros.web.protocol import Box, frame_message
from trt_ssd_ros.web.viewers import Frame

PREVIEW, DETECTIONS, PLACES = "preview", "detections", "detections_3d"
RECENT = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT)
"""Best effort matches every publisher."""


class CameraPictures:
    """Subscriptions to one camera's preview, detections and places, and the frames made of them.

    Args:
        node: Node that subscribes.
        namespace: Namespace of the detector.
        camera: Name of the camera; empty: the detector's only one.
        numbers: Growing numbers for the frames.
        views: Returns the parts of the image that the detector sees, from the camera and the image's size.
        deliver: Called with each frame.

    Attributes:
        matcher: Matcher of pictures and boxes.
        idle: Periods since a viewer looked at the camera; the owner counts them.
    """

    def __init__(
        self,
        node: Node,
        namespace: str,
        camera: str,
        numbers: Iterator[int],
        views: Callable[[str, tuple[int, int]], Sequence[Window]],
        deliver: Callable[[Frame], None],
    ) -> None:
        self.matcher = FrameMatcher(self._pack)
        self.idle = 0
        self._numbers = numbers
        self._node = node
        self._camera = camera
        self._views = views
        self._deliver = deliver
        # Full names, so that the node may be in another namespace; rules of its own namespace rename them as well.
        prefix = join(namespace, camera, "")
        preview = transport_topic(node.resolve_topic_name(f"{prefix}{PREVIEW}"), "compressed")
        self._places = node.resolve_topic_name(f"{prefix}{PLACES}")
        self._subscriptions = [
            self._subscribe(CompressedImage, preview, self._take_picture, newest_image()),
            self._subscribe(Detection2DArray, f"{prefix}{DETECTIONS}", self._take_boxes, RECENT),
            self._subscribe(Detection3DArray, f"{prefix}{PLACES}", self._take_places, RECENT),
        ]

    def _subscribe(self, kind: Any, topic: str, take: Callable[[Any], None], qos: QoSProfile) -> Subscription:
        return self._node.create_subscription(kind, topic, take, qos, event_callbacks=without_events())

    def follow_graph(self) -> None:
        """Look for a publisher of places; call it about once a second."""
        self.matcher.expects_distances = self._node.count_publishers(self._places) > 0

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _take_picture(self, message: CompressedImage) -> None:
        size = original_size(message.format, message.data)
        if size is None:
            self._node.get_logger().warning(
                f"{self._camera or 'preview'}: found a picture of format {message.format!r}, expected JPEG",
                throttle_duration_sec=10.0,
            )
            return
        stamp = nanoseconds(message.header.stamp)
        self.matcher.add_picture(Picture(stamp, message.data.tobytes(), size))

    def _take_boxes(self, message: Detection2DArray) -> None:
        header = message.header
        self.matcher.add_boxes(nanoseconds(header.stamp), Detected(header.frame_id, boxes_of(message)))

    def _take_places(self, message: Detection3DArray) -> None:
        header = message.header
        self.matcher.add_distances(nanoseconds(header.stamp), Placed(header.frame_id, distances_of(message)))

    def _pack(self, picture: Picture, boxes: Sequence[Box] | None) -> None:
        number = next(self._numbers)
        views = self._views(self._camera, picture.size)
        message = frame_message(self._camera, number, picture.stamp, picture.size, boxes, picture.jpeg, views)
        self._deliver(Frame(self._camera, number, message))
