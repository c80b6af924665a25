"""StandInCamera: a camera whose process costs little, so that many of them fit beside the node that is measured.

python -m trt_ssd_ros.bench.ros.stand_in_camera [--ros-args -p rate:=30.0 -p compressed:=true ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import cycle, islice

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trt_ssd_ros.camera.camera_node import CAMERA
from trt_ssd_ros.images.compressed import encode_jpeg
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.node.messages import compressed_to_msg, image_to_msg
from trt_ssd_ros.ros.process import FailableNode, spin_node, unless_shut_down

PICTURES = 12
"""Number of different pictures of the demo, which follow each other."""


class StandInCamera(FailableNode):
    """Node that publishes ready messages of the demo on `image` or `image/compressed`, stamped when they are sent.

    Parameters: rate in Hz, width and height in pixels, compressed, burst (images that are sent at once), and
    encoding (of raw images, in place of the true one).
    """

    def __init__(self) -> None:
        super().__init__("camera")
        size = int(self.declare_parameter("width", 1280).value), int(self.declare_parameter("height", 720).value)
        compressed = bool(self.declare_parameter("compressed", False).value)
        demo = open_source("demo")
        shown = islice(demo.images(), 0, None, max(1, (demo.count or PICTURES) // PICTURES))
        pictures = [np.asarray(cv2.resize(picture.pixels, size), np.uint8) for picture in shown]
        if compressed:
            messages = [compressed_to_msg(encode_jpeg(pixels, "bgr"), Header()) for pixels in pictures]
        else:
            messages = [image_to_msg(pixels, "bgr", Header()) for pixels in pictures]
        encoding = str(self.declare_parameter("encoding", "").value)
        for message in messages if encoding else ():
            message.encoding = encoding
        self._messages = cycle(messages)
        kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        self._publisher = self.create_publisher(kind, topic, CAMERA)
        self._burst = int(self.declare_parameter("burst", 1).value)
        self.create_timer(self._burst / float(self.declare_parameter("rate", 30.0).value), self._send)

    def _send(self) -> None:
        for message in islice(self._messages, self._burst):
            message.header.stamp = self.get_clock().now().to_msg()
            with unless_shut_down(self.context):
                self._publisher.publish(message)


def main(args: Sequence[str] | None = None) -> int:
    """Run the camera."""
    return spin_node(StandInCamera, args)


if __name__ == "__main__":
    sys.exit(main())
