"""Measure the locator: processor time and latency of an image, with registered and with other depth images.

python3 -m trt_ssd_ros.bench.ros.locator --seconds 20
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray

from trt_ssd_ros.bench.depth.rendering import Cuboid, Plane, Solid, render
from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.depth.camera_model import PinholeCamera
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.calibration import Calibration
from trt_ssd_ros.node.messages import camera_info_to_msg
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.ros.transport import keep_freed_blocks
from trt_ssd_ros.version import add_version

NAMESPACE = "/locator_benchmark"
STARTUP_SECONDS = 30.0
FRAMES = {"registered": "camera", "another frame": "depth"}
"""frame_id of the depth images, by the name of the row."""
BASELINE = 0.05
"""Distance of the cameras in metres."""
STATIC = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class Result:
    """Measurement of one kind of depth images.

    Attributes:
        sent: Images.
        answered: Images whose places came back.
        cpu: Processor time of the locator per answered image in milliseconds.
        latency: Milliseconds from the detections to their places.
    """

    sent: int
    answered: int
    cpu: float
    latency: Timing


class Robot(Node):
    """Node with a camera, a depth camera and a detector, which see a row of boxes in front of a wall.

    Args:
        width: Width of the images in pixels.
        height: Height of the images in pixels.
        objects: Number of boxes.
        frame: frame_id of the depth images.

    Attributes:
        latencies: Milliseconds from the detections to their places.
    """

    def __init__(self, width: int, height: int, objects: int, frame: str) -> None:
        super().__init__("robot", namespace=NAMESPACE)
        focal = width * 0.7
        camera = PinholeCamera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        self.latencies: list[float] = []
        self._sent: dict[int, float] = {}
        self._frame = frame
        self._info = _calibration(camera)
        self._boxes, self._samples = _scene(camera, objects)
        self._depth = self.create_publisher(Image, "depth/image", 5)
        self._infos = [self.create_publisher(CameraInfo, f"{name}camera_info", 5) for name in ("", "depth/")]
        self._detections = self.create_publisher(Detection2DArray, "detections", 5)
        self._tf = self.create_publisher(TFMessage, "/tf_static", STATIC)
        self.create_subscription(Detection3DArray, "detections_3d", self._on_places, 10)
        self._publish_baseline()

    def _publish_baseline(self) -> None:
        transform = TransformStamped(header=Header(frame_id="camera"), child_frame_id="depth")
        transform.transform.translation.x = BASELINE
        self._tf.publish(TFMessage(transforms=[transform]))

    @property
    def is_heard(self) -> bool:
        """Whether the locator has subscribed to everything."""
        return all(p.get_subscription_count() for p in (self._depth, *self._infos, self._detections))

    def send(self) -> None:
        """Publish one image's messages."""
        stamp = self.get_clock().now().to_msg()
        height, width = self._samples.shape
        for publisher, frame in zip(self._infos, ("camera", self._frame), strict=True):
            publisher.publish(camera_info_to_msg(self._info, width, height, Header(stamp=stamp, frame_id=frame)))
        depth = Image(header=Header(stamp=stamp, frame_id=self._frame), height=height, width=width)
        depth.encoding, depth.step = "16UC1", 2 * width
        depth.data = array("B", self._samples.tobytes())
        self._depth.publish(depth)
        header = Header(stamp=stamp, frame_id="camera")
        self._sent[nanoseconds(stamp)] = time.monotonic()
        self._detections.publish(Detection2DArray(header=header, detections=self._boxes))

    def _on_places(self, message: Detection3DArray) -> None:
        begin = self._sent.pop(nanoseconds(message.header.stamp), None)
        if begin is not None:
            self.latencies.append((time.monotonic() - begin) * 1e3)


def _calibration(camera: PinholeCamera) -> Calibration:
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    k, r = (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    p = (fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return Calibration(camera.width, camera.height, "plumb_bob", (0.0,) * 5, k, r, p)


def _scene(camera: PinholeCamera, objects: int) -> tuple[list[Detection2D], NDArray[np.uint16]]:
    """Return the detections and the depth image (H, W) uint16 in millimetres of a row of boxes 2 m away."""
    boxes: list[Detection2D] = []
    solids: list[Solid] = [Plane(np.array([0.0, 0.0, 1.0]), 4.0)]
    cell = camera.width / objects
    for index in range(objects):
        found = Detection2D(id=f"benchmark-{index}")
        found.bbox.center.position.x, found.bbox.center.position.y = cell * (index + 0.5), camera.height / 2
        found.bbox.size_x, found.bbox.size_y = cell / 2, camera.height / 2
        boxes.append(found)
        x = (cell * (index + 0.5) - camera.width / 2) / camera.fx * 2
        size = np.array([cell / 2 / camera.fx * 2, camera.height / 2 / camera.fy * 2, 0.1])
        solids.append(Cuboid(np.array([x, 0.0, 2.05]), size, np.eye(3)))
    return boxes, np.rint(render(solids, camera) * 1000).astype("<u2")


def measure(frame: str, width: int, height: int, objects: int, rate: float, seconds: float) -> Result:
    """Run the locator in a process of its own.

    Args:
        frame: frame_id of the depth images.
        width: Width of the images in pixels.
        height: Height of the images in pixels.
        objects: Number of objects in each image.
        rate: Images per second.
        seconds: Time of the measurement in seconds.

    Raises:
        RuntimeError: The locator does not start or answer.
    """
    command = [sys.executable, "-m", "trt_ssd_ros.depth.locator_node", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    with ros_context([]) as ros:
        robot = ros.add(Robot(width, height, objects, frame))
        keep_freed_blocks()
        process = subprocess.Popen(command)  # noqa: S603
        try:
            _send(robot, ros.executor, 10.0, STARTUP_SECONDS, lambda: len(robot.latencies) > 2)
            if not robot.latencies:
                raise RuntimeError(f"no places in {STARTUP_SECONDS:g} s: see the log of the locator above")
            robot.latencies.clear()
            begin = ProcessUsage.of(process.pid).cpu_seconds
            sent = _send(robot, ros.executor, rate, seconds)
            cpu = ProcessUsage.of(process.pid).cpu_seconds - begin
        finally:
            process.terminate()
            process.wait()
    answered = len(robot.latencies)
    if not answered:
        raise RuntimeError(f"no places of {sent} images")
    return Result(sent, answered, cpu / answered * 1e3, Timing.of(robot.latencies))


def _send(
    robot: Robot, executor: Executor, rate: float, seconds: float, is_enough: Callable[[], bool] = lambda: False
) -> int:
    """Publish images at a rate until the time is over, or there are enough; return their number."""
    start, sent = time.monotonic(), 0
    while time.monotonic() - start < seconds and not is_enough():
        due = start + sent / rate
        while (left := due - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
        if robot.is_heard:
            robot.send()
        sent += 1
    return sent


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="locator", description=__doc__)
    add_version(parser)
    parser.add_argument("--width", type=int, default=848, help="width of the images in pixels (default: 848)")
    parser.add_argument("--height", type=int, default=480, help="height of the images in pixels (default: 480)")
    parser.add_argument("--objects", type=int, default=5, help="objects in each image (default: 5)")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second (default: 30)")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of each measurement (default: 10)")
    return parser.parse_args(arguments)


def main(args: Sequence[str] | None = None) -> int:
    """Print a row for each kind of depth images."""
    options = parse(remove_ros_args(args)[1:])
    print(f"{options.width}x{options.height}, {options.objects} objects, {options.rate:g} Hz")
    print("| depth images | answered | processor time of an image, ms | latency p50, ms | p99, ms |")
    print("|---|---|---|---|---|")
    try:
        for name, frame in FRAMES.items():
            found = measure(frame, options.width, options.height, options.objects, options.rate, options.seconds)
            share, timing = found.answered / found.sent, found.latency
            print(f"| {name} | {share:.0%} | {found.cpu:.1f} | {timing.p50:.1f} | {timing.p99:.1f} |", flush=True)
    except (OSError, RuntimeError) as error:
        print(f"locator: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
