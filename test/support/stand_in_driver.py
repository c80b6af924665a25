"""Stands in for a camera's driver: takes its parameters and publishes what its documentation says.

The first argument is a JSON file with all that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.files import read_image_file

RATE = 1.0
CONVERSIONS = {
    "bgr8": None,
    "rgb8": cv2.COLOR_BGR2RGB,
    "bgra8": cv2.COLOR_BGR2BGRA,
    "yuv422_yuy2": cv2.COLOR_BGR2YUV_YUY2,
}


class StandIn(Node):
    """Publishes a photo as the driver would."""

    def __init__(self, driver: dict[str, Any]) -> None:
        super().__init__(driver["node"])
        self.driver = driver
        values = {name: self.declare_parameter(name, value).value for name, value in driver["parameters"].items()}
        width, height = (values[name] for name in driver["size"]) if driver["size"] else (640, 480)
        if "image_size" in values:
            width, height = values["image_size"]
        if "rgb_camera.color_profile" in values:
            width, height, _ = map(int, values["rgb_camera.color_profile"].split("x"))
        photo = cv2.resize(read_image_file(share_folder() / "photos" / "chelsea.jpg"), (width, height))
        conversion = CONVERSIONS[driver["encoding"]]
        self.pixels = photo if conversion is None else cv2.cvtColor(photo, conversion)
        self.frame_id = (
            values[driver["frame"]] if driver["frame"] else f"{self.get_fully_qualified_name()[1:]}_optical_frame"
        )
        self.images = self.create_publisher(Image, driver["image"], 10)
        self.infos = self.create_publisher(CameraInfo, driver["info"], 10)
        self.create_timer(1 / RATE, self.publish)
        print("parameters:", json.dumps(values), flush=True)

    def publish(self) -> None:
        """Publish the photo and its camera_info."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.frame_id)
        height, width = self.pixels.shape[:2]
        data = np.ascontiguousarray(self.pixels).tobytes()
        image = Image(header=header, height=height, width=width, encoding=self.driver["encoding"])
        image.step = len(data) // height
        image.data = data
        self.images.publish(image)
        self.infos.publish(CameraInfo(header=header, height=height, width=width))


if __name__ == "__main__":
    rclpy.init()
    node = StandIn(json.loads(Path(sys.argv[1]).read_text()))
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
