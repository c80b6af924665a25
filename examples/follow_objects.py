"""Print a line when an object comes and when it is gone; the detector tracks with tracking:=true.

python3 examples/follow_objects.py
"""

import rclpy
from missing_topics import name_missing_topics
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.time import Time
from vision_msgs.msg import Detection2DArray

MAX_GAP = Duration(seconds=1)
"""The detector's track_max_gap: after this time without the object, its id does not come back."""


class FollowObjects(Node):
    """Node that follows the objects of one detector by their ids."""

    def __init__(self) -> None:
        super().__init__("follow_objects")
        self._seen: dict[str, tuple[str, Time]] = {}
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)

    def _on_detections(self, message: Detection2DArray) -> None:
        now = Time.from_msg(message.header.stamp)
        for detection in message.detections:
            if not detection.id:
                continue  # seen for the first time, perhaps by mistake
            label = detection.results[0].hypothesis.class_id
            if detection.id not in self._seen:
                print(f"{label} {detection.id} comes", flush=True)
            self._seen[detection.id] = label, now
        for name, (label, seen) in list(self._seen.items()):
            if not Duration() <= now - seen <= MAX_GAP:  # also if the clock has jumped back
                print(f"{label} {name} is gone", flush=True)
                del self._seen[name]


def main() -> None:
    """Run the node until Ctrl-C."""
    rclpy.init()
    try:
        node = FollowObjects()
        name_missing_topics(node)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
