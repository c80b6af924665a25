"""Print each detection: its label, its score, and its box in pixels of the image.

python3 examples/print_detections.py
python3 examples/print_detections.py --ros-args -r __ns:=/left    # the detector in the namespace /left
"""

import rclpy
from missing_topics import name_missing_topics
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from vision_msgs.msg import Detection2DArray, LabelInfo

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
"""The detector publishes label_info once; transient local gets the last message also after that."""


class PrintDetections(Node):
    """Node that prints the detections of one detector."""

    def __init__(self) -> None:
        super().__init__("print_detections")
        self._names: dict[str, str] = {}
        self.create_subscription(LabelInfo, "label_info", self._on_label_info, LATCHED)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)

    def _on_label_info(self, message: LabelInfo) -> None:
        self._names = {str(entry.class_id): entry.class_name for entry in message.class_map}

    def _on_detections(self, message: Detection2DArray) -> None:
        for detection in message.detections:
            best = detection.results[0].hypothesis  # the node reports one hypothesis per box
            label = self._names.get(best.class_id, best.class_id)  # class_id_format: id, or name
            box, centre = detection.bbox, detection.bbox.center.position
            left, top = centre.x - box.size_x / 2, centre.y - box.size_y / 2
            where = f"left {left:.0f} top {top:.0f} width {box.size_x:.0f} height {box.size_y:.0f}"
            print(f"{label} {best.score:.2f} {where}", flush=True)


def main() -> None:
    """Run the node until Ctrl-C."""
    rclpy.init()
    try:
        node = PrintDetections()
        name_missing_topics(node)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
