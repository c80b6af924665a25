"""A camera without a driver: publishes photos, a folder, a video, a webcam or the demo's tour."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from threading import Event, Thread
from time import monotonic

from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trt_ssd_ros.core import image_source
from trt_ssd_ros.core.image_source import ImageSource, PhotoTour, open_source
from trt_ssd_ros.core.resources import share_folder
from trt_ssd_ros.ros.messages import image_to_msg
from trt_ssd_ros.ros.parameter_table import CAMERA_FRAME_ID, CAMERA_LOOP, CAMERA_RATE, CAMERA_SOURCE
from trt_ssd_ros.ros.process import FailableNode, spin_node
from trt_ssd_ros.ros.qos import OVERRIDABLE

CAMERA = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
DEFAULT_RATE = 30.0


class CameraNode(FailableNode):
    """Publishes image_raw and camera_info at a set rate, reading in a thread of its own.

    Raises:
        SourceError: The source cannot be opened.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        name = self.declare(CAMERA_SOURCE)
        rate = self.declare(CAMERA_RATE)
        self._loop = self.declare(CAMERA_LOOP)
        self._frame_id = self.declare(CAMERA_FRAME_ID)
        self._image_publisher = self.create_publisher(
            Image, "image_raw", CAMERA, qos_overriding_options=OVERRIDABLE
        )
        self._info_publisher = self.create_publisher(
            CameraInfo, "camera_info", CAMERA, qos_overriding_options=OVERRIDABLE
        )
        self._source = open_demo() if name == "demo" else open_source(name)
        self._period = 1 / (rate or self._source.rate or DEFAULT_RATE)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="camera")
        self._thread.start()
        self.get_logger().info(f"publishing {name} at {1 / self._period:.4g} Hz")

    def destroy_node(self) -> None:
        """End the reading thread, then the node."""
        self._stop.set()
        self._thread.join()
        super().destroy_node()

    def _run(self) -> None:
        try:
            count = self._publish_all()
        except Exception as error:
            if self.context.ok():
                self.fail(f"camera stopped: {error}")
        else:
            if not self._stop.is_set():
                self.get_logger().info(f"the source ended after {count} images")
        finally:
            self._source.close()
            self.context.try_shutdown()

    def _publish_all(self) -> int:
        due, count, images = monotonic(), 0, self._images()
        while not self._stop.wait(max(0.0, due - monotonic())):
            image = next(images, None)
            if image is None:
                break
            self._publish(image)
            count += 1
            due = max(due + self._period, monotonic())
        return count

    def _images(self) -> Iterator[image_source.Image]:
        yield from self._source.images()
        while self._loop:
            yield from self._source.images()

    def _publish(self, image: image_source.Image) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        height, width = image.shape[:2]
        self._image_publisher.publish(image_to_msg(image, "bgr", header))
        self._info_publisher.publish(CameraInfo(header=header, height=height, width=width))


def open_demo() -> ImageSource:
    """Open the tour of the photos that come with the package."""
    return PhotoTour(sorted((share_folder() / "photos").glob("*.jpg")))


def main(args: Sequence[str] | None = None) -> int:
    """Run the camera node."""
    return spin_node(CameraNode, args)


if __name__ == "__main__":
    sys.exit(main())
