"""Save each detection as a picture, cut out of the image in which the detector found it.

python3 examples/crop_detections.py crops
python3 examples/crop_detections.py crops --ros-args -r __ns:=/left    # camera and detector in a namespace
python3 examples/crop_detections.py crops --ros-args -r image_raw:=/camera/image_raw
"""

import math
import sys
from pathlib import Path

import cv2
import rclpy
from message_filters import Subscriber, TimeSynchronizer
from missing_topics import name_missing_topics
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from vision_msgs.msg import BoundingBox2D, Detection2DArray

from trt_ssd_ros.node.image_reader import read_image  # reads all encodings of the node; cv_bridge is another way

QUEUE = 10
"""Images that wait for their detections: more than the camera's rate (Hz) times the detector's latency (s)."""
CAMERA = QoSProfile(depth=QUEUE, reliability=QoSReliabilityPolicy.BEST_EFFORT)
"""Best effort matches every camera, reliable or not."""


class CropDetections(Node):
    """Node that saves the detections of one camera as pictures.

    Args:
        folder: Folder for the pictures.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("crop_detections")
        self._folder = folder
        images = Subscriber(self, Image, "image_raw", qos_profile=CAMERA)
        detections = Subscriber(self, Detection2DArray, "detections", qos_profile=QoSProfile(depth=QUEUE))
        self._pairs = TimeSynchronizer([images, detections], QUEUE)
        self._pairs.registerCallback(self._on_pair)

    def _on_pair(self, image: Image, found: Detection2DArray) -> None:
        frame = read_image(image)
        pixels = frame.pixels if frame.channel_order == "bgr" else frame.pixels[..., ::-1]
        stamp = f"{image.header.stamp.sec}_{image.header.stamp.nanosec:09d}"
        for number, detection in enumerate(found.detections):
            label = detection.results[0].hypothesis.class_id.replace("/", "_")
            path = self._folder / f"{stamp}_{number}_{label}.png"
            if not cv2.imwrite(str(path), pixels[window(detection.bbox)]):
                raise OSError(f"cannot write {path}")
            print(f"saved {path}", flush=True)


def window(box: BoundingBox2D) -> tuple[slice, slice]:
    """Return the rows and columns of a box; the node clips boxes to the image, so they are inside it."""
    x, y = box.center.position.x, box.center.position.y
    rows = slice(int(y - box.size_y / 2), math.ceil(y + box.size_y / 2))
    return rows, slice(int(x - box.size_x / 2), math.ceil(x + box.size_x / 2))


def main() -> None:
    """Run the node until Ctrl-C."""
    arguments = remove_ros_args(sys.argv)[1:] or ["crops"]
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    rclpy.init()
    try:
        node = CropDetections(folder)
        name_missing_topics(node)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
