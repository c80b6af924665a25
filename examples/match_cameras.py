"""Print the detections of two cameras whose images were taken at nearly the same time.

ros2 launch examples/two_cameras.launch.py
python3 examples/match_cameras.py
"""

import rclpy
from message_filters import ApproximateTimeSynchronizer, Subscriber
from missing_topics import name_missing_topics
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.time import Time
from vision_msgs.msg import Detection2DArray

CAMERAS = ("left", "right")
QUEUE = 10
"""Messages of each camera that wait for a partner."""
SLOP = 0.02
"""Default of the parameter `slop`, in seconds: more than half the time between two images at 30 Hz."""


class MatchCameras(Node):
    """Node that prints the detections of two cameras side by side.

    Its parameter `slop` is the largest difference of two stamps in seconds.
    """

    def __init__(self) -> None:
        super().__init__("match_cameras")
        inputs = [Subscriber(self, Detection2DArray, f"{name}/detections", qos_profile=QUEUE) for name in CAMERAS]
        slop = self.declare_parameter("slop", SLOP).value
        self._pairs = ApproximateTimeSynchronizer(inputs, QUEUE, slop)
        self._pairs.registerCallback(self._on_pair)

    def _on_pair(self, left: Detection2DArray, right: Detection2DArray) -> None:
        apart = Time.from_msg(right.header.stamp) - Time.from_msg(left.header.stamp)
        print(f"{apart.nanoseconds / 1e6:+.1f} ms  left: {labels(left)}  right: {labels(right)}", flush=True)


def labels(message: Detection2DArray) -> str:
    """Return the labels of the detections, separated by commas."""
    return ", ".join(detection.results[0].hypothesis.class_id for detection in message.detections) or "nothing"


def main() -> None:
    """Run the node until Ctrl-C."""
    rclpy.init()
    try:
        node = MatchCameras()
        name_missing_topics(node)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
