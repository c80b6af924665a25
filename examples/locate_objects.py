"""Print where each object is, in metres; the launch file starts a locator with depth:=TOPIC.

python3 examples/locate_objects.py
python3 examples/locate_objects.py --ros-args -r __ns:=/front    # the locator of the camera front
"""

import math

import rclpy
from missing_topics import name_missing_topics
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from vision_msgs.msg import Detection3D, Detection3DArray


class LocateObjects(Node):
    """Node that prints the objects of one locator."""

    def __init__(self) -> None:
        super().__init__("locate_objects")
        self.create_subscription(Detection3DArray, "detections_3d", self._on_detections, 10)

    def _on_detections(self, message: Detection3DArray) -> None:
        for detection in message.detections:
            result = detection.results[0]
            at, size = result.pose.pose.position, detection.bbox.size
            where = f"x {at.x:.2f} y {at.y:.2f} z {at.z:.2f} m +-{deviation(detection):.2f}"
            name = f"{result.hypothesis.class_id} {detection.id}".rstrip()
            print(f"{name} in {message.header.frame_id}: {where}, {size.x:.2f} x {size.y:.2f} m", flush=True)


def deviation(detection: Detection3D) -> float:
    """Return the standard deviation of the position in metres, along its worst axis."""
    covariance = detection.results[0].pose.covariance  # 6 x 6: x, y, z, and three angles, which are not estimated
    return math.sqrt(max(covariance[0], covariance[7], covariance[14]))


def main() -> None:
    """Run the node until Ctrl-C."""
    rclpy.init()
    try:
        node = LocateObjects()
        name_missing_topics(node)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
