"""Outputs of the locator, one class per topic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from math import pi
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, PoseWithCovariance, TransformStamped, Vector3
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2, PointField
from tf2_ros import TransformBroadcaster
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import MarkerArray

from trt_ssd_ros.depth.located_frame import LocatedFrame, LocatedObject
from trt_ssd_ros.depth.markers import Markers
from trt_ssd_ros.depth.parameters import LocatorSettings
from trt_ssd_ros.ros.transport import OVERRIDABLE, RESULTS

UNKNOWN_ANGLE = (2 * pi) ** 2 / 12
"""Variance of an angle in square radians that may have any value: the orientation of objects is not estimated."""
CHILD_FRAME = "object_{id}"


class Output(ABC):
    """Way on which the objects of an image leave the node."""

    @abstractmethod
    def is_wanted(self, settings: LocatorSettings) -> bool:
        """Return whether another node wants the results."""

    @abstractmethod
    def publish(self, frame: LocatedFrame, settings: LocatorSettings) -> None:
        """Publish the objects of one image, if they are wanted."""


class TopicOutput(Output):
    """One topic of the node's own.

    Args:
        node: Node that publishes.
        kind: Message type.
        topic: Name of the topic.
    """

    def __init__(self, node: Node, kind: Any, topic: str) -> None:
        self._publisher = node.create_publisher(kind, topic, RESULTS, qos_overriding_options=OVERRIDABLE)

    def is_wanted(self, settings: LocatorSettings) -> bool:  # noqa: ARG002 - tf frames ask the settings
        """Return whether the topic has a subscriber."""
        return self._publisher.get_subscription_count() > 0

    def publish(self, frame: LocatedFrame, settings: LocatorSettings) -> None:
        """Publish the objects of one image, if the topic has a subscriber."""
        message = self.message(frame, settings) if self.is_wanted(settings) else None
        if message is not None:
            self._publisher.publish(message)

    @abstractmethod
    def message(self, frame: LocatedFrame, settings: LocatorSettings) -> Any:
        """Return the message for one image; None if there is nothing to say."""


class Detections3DOutput(TopicOutput):
    """`detections_3d`: the objects that have a place, also if there are none."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, Detection3DArray, "detections_3d")

    def message(self, frame: LocatedFrame, settings: LocatorSettings) -> Detection3DArray:  # noqa: ARG002
        """Return the message for one image; see `TopicOutput.message`."""
        return Detection3DArray(
            header=frame.header, detections=[_detection(item, frame) for item in frame.objects]
        )


class MarkersOutput(TopicOutput):
    """`markers`: boxes and labels for rviz2."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, MarkerArray, "markers")
        self._markers = Markers()

    def message(self, frame: LocatedFrame, settings: LocatorSettings) -> MarkerArray:  # noqa: ARG002
        """Return the message for one image; see `TopicOutput.message`."""
        return self._markers.message(frame)

    def miss(self) -> None:
        """Delete the markers of objects that have had no place for some images."""
        deletions = self._markers.miss()
        if deletions.markers:
            self._publisher.publish(deletions)


class ObstaclesOutput(TopicOutput):
    """`obstacles`: the points of all objects, for costmaps and collision monitors."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, PointCloud2, "obstacles")

    def message(self, frame: LocatedFrame, settings: LocatorSettings) -> PointCloud2:  # noqa: ARG002
        """Return the message for one image; see `TopicOutput.message`."""
        points = np.ascontiguousarray(frame.points(), "<f4")
        fields = [
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate("xyz")
        ]
        cloud = PointCloud2(header=frame.header, height=1, width=len(points), fields=fields, is_dense=True)
        cloud.point_step, cloud.row_step = 12, 12 * len(points)
        cloud.data = array("B", points.tobytes())
        return cloud


class TargetOutput(TopicOutput):
    """`~/target`: the nearest object of `target_class` and `target_id`."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, PoseStamped, "~/target")

    def message(self, frame: LocatedFrame, settings: LocatorSettings) -> PoseStamped | None:
        """Return the message for one image; None without such an object."""
        fitting = [
            item
            for item in frame.objects
            if settings.target_class in ("", item.label) and settings.target_id in ("", item.detection.id)
        ]
        if not fitting:
            return None
        return PoseStamped(header=frame.header, pose=_pose(min(fitting, key=lambda item: item.distance), frame))


class TfOutput(Output):
    """/tf: a frame for each object with an id, if `publish_tf` is set.

    Args:
        node: Node that publishes, from the first frame on.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._broadcaster: TransformBroadcaster | None = None

    def is_wanted(self, settings: LocatorSettings) -> bool:
        """Return whether `publish_tf` is set: /tf always has subscribers, but few of them want these frames."""
        return settings.publish_tf

    def publish(self, frame: LocatedFrame, settings: LocatorSettings) -> None:
        """Publish the frames of one image; see `Output.publish`."""
        transforms = [_transform(item, frame) for item in frame.objects if item.detection.id]
        if settings.publish_tf and transforms:
            self._broadcaster = self._broadcaster or TransformBroadcaster(self._node)
            self._broadcaster.sendTransform(transforms)


class Outputs:
    """All topics of the locator.

    Args:
        node: Node that publishes.
    """

    def __init__(self, node: Node) -> None:
        self._markers = MarkersOutput(node)
        self._outputs: tuple[Output, ...] = (
            Detections3DOutput(node),
            TargetOutput(node),
            ObstaclesOutput(node),
            self._markers,
            TfOutput(node),
        )

    def are_wanted(self, settings: LocatorSettings) -> bool:
        """Return whether a topic has a subscriber, or tf frames are wanted."""
        return any(output.is_wanted(settings) for output in self._outputs)

    def publish(self, frame: LocatedFrame, settings: LocatorSettings) -> None:
        """Publish the objects of one image on the topics that have a subscriber."""
        for output in self._outputs:
            output.publish(frame, settings)

    def miss(self) -> None:
        """Count an image whose objects have no place, for the markers; the other topics stay silent."""
        self._markers.miss()


def _pose(item: LocatedObject, frame: LocatedFrame) -> Pose:
    """Return the centre, with the axes of the camera: the orientation of an object is not known."""
    x, y, z = item.centre.tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=frame.transform.rotation)


def _detection(item: LocatedObject, frame: LocatedFrame) -> Detection3D:
    pose = _pose(item, frame)
    width, height, thickness = item.size
    placed = PoseWithCovariance(pose=pose, covariance=_six_by_six(item.covariance))
    hypotheses = [result.hypothesis for result in item.detection.results]
    results = [ObjectHypothesisWithPose(hypothesis=hypothesis, pose=placed) for hypothesis in hypotheses]
    return Detection3D(
        header=frame.header,
        results=results or [ObjectHypothesisWithPose(pose=placed)],
        bbox=BoundingBox3D(center=pose, size=Vector3(x=width, y=height, z=thickness)),
        id=item.detection.id,
    )


def _six_by_six(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a covariance of position and angles (36,), as in PoseWithCovariance."""
    full = np.zeros((6, 6))
    full[:3, :3] = covariance
    full[[3, 4, 5], [3, 4, 5]] = UNKNOWN_ANGLE
    return full.ravel()


def _transform(item: LocatedObject, frame: LocatedFrame) -> TransformStamped:
    x, y, z = item.centre.tolist()
    message = TransformStamped(header=frame.header, child_frame_id=CHILD_FRAME.format(id=item.detection.id))
    message.transform.translation = Vector3(x=x, y=y, z=z)
    message.transform.rotation = frame.transform.rotation
    return message
