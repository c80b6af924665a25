"""A camera and its depth camera in a test's own domain: detections, depth images, camera_infos and tf at will."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from probe import PATIENCE, Probe
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray, ObjectHypothesisWithPose

CAMERA, DEPTH_CAMERA = "camera_optical", "depth_optical"
WIDTH, HEIGHT, FOCAL = 160, 120, 100.0
STATIC = QoSProfile(depth=10, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
PERIOD = 0.1
"""Seconds between two images, by their stamps."""
WALL = 4.0
"""Distance of the background in metres."""


def time_of(seconds: float) -> Time:
    """A stamp."""
    return Time(sec=int(seconds // 1), nanosec=round(seconds % 1 * 1e9))


def header(seconds: float, frame: str = CAMERA) -> Header:
    """A header."""
    return Header(stamp=time_of(seconds), frame_id=frame)


def scene(distance: float = 2.0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> NDArray[np.float32]:
    """Depths (H, W) in metres: a wall, and a plate in the middle third of the image."""
    width, height = size
    depths = np.full((height, width), WALL, np.float32)
    depths[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = distance
    return depths


def plate(score: float = 0.9, label: str = "person", name: str = "run-7") -> Detection2D:
    """The detection of the plate of `scene`."""
    found = Detection2D(id=name, results=[ObjectHypothesisWithPose()])
    found.results[0].hypothesis.class_id, found.results[0].hypothesis.score = label, score
    found.bbox.center.position.x, found.bbox.center.position.y = WIDTH / 2, HEIGHT / 2
    found.bbox.size_x, found.bbox.size_y = WIDTH / 3, HEIGHT / 3
    return found


def depth_message(depths: NDArray[Any], stamp: Header, encoding: str = "32FC1") -> Image:
    """A depth image; samples are written as they are."""
    height, width = depths.shape
    message = Image(header=stamp, height=height, width=width, encoding=encoding)
    message.step = width * depths.itemsize
    message.data = array("B", depths.tobytes())
    return message


def info_message(stamp: Header, width: int = WIDTH, height: int = HEIGHT, focal: float = FOCAL) -> CameraInfo:
    """A calibration without distortion."""
    message = CameraInfo(header=stamp, width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    cx, cy = width / 2 - 0.5, height / 2 - 0.5
    message.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    message.r = np.eye(3).ravel()
    message.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def transform(
    parent: str, child: str, at: Header, move: Sequence[float], turn: Sequence[float]
) -> TransformStamped:
    """A transform: translation x y z in metres and quaternion x y z w."""
    message = TransformStamped(header=Header(stamp=at.stamp, frame_id=parent), child_frame_id=child)
    shift, rotation = message.transform.translation, message.transform.rotation
    shift.x, shift.y, shift.z = map(float, move)
    rotation.x, rotation.y, rotation.z, rotation.w = map(float, turn)
    return message


def points(cloud: PointCloud2) -> NDArray[np.float32]:
    """The points (M, 3) of a cloud."""
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    assert len(cloud.data) == cloud.row_step == cloud.width * cloud.point_step
    return np.frombuffer(cloud.data, "<f4").reshape(-1, 3)


class DepthRig:
    """Everything around a locator, in one node.

    Args:
        probe: Node that sends and receives.
        receives: Whether to subscribe to the results.

    Attributes:
        now: Stamp of the newest image in seconds.
        process: Process of the locator.
        answers: Messages on detections_3d.
        clouds: Messages on obstacles.
        targets: Messages on ~/target.
    """

    def __init__(self, probe: Probe, receives: bool = True) -> None:
        node = probe.node
        self.probe = probe
        self.now = 1000.0
        self.process: Any = None
        self.answers: list[Detection3DArray] = []
        self.clouds: list[PointCloud2] = []
        self.targets: list[PoseStamped] = []
        if receives:
            self.answers = probe.receive(Detection3DArray, "detections_3d")
            self.clouds = probe.receive(PointCloud2, "obstacles")
            self.targets = probe.receive(PoseStamped, "locator/target")
        self._reports: list[DiagnosticArray] = probe.receive(DiagnosticArray, "/diagnostics")
        self._detections = node.create_publisher(Detection2DArray, "detections", 10)
        self._depth = node.create_publisher(Image, "depth/image", 10)
        self._info = node.create_publisher(CameraInfo, "camera_info", 10)
        self._depth_info = node.create_publisher(CameraInfo, "depth/camera_info", 10)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        self._static = node.create_publisher(TFMessage, "/tf_static", STATIC)

    def await_node(self, listening: bool = True) -> None:
        """Wait until the locator subscribes to all its inputs, or to none of them."""
        publishers = (self._detections, self._depth, self._info, self._depth_info)
        wanted = {int(listening)}
        self.probe.spin_until(lambda: {p.get_subscription_count() for p in publishers} == wanted, "the inputs")

    def use_best_effort_depth(self) -> None:
        """Publish the depth images from now on best effort, as most drivers do."""
        self.probe.node.destroy_publisher(self._depth)
        qos = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        self._depth = self.probe.node.create_publisher(Image, "depth/image", qos)

    def send_tf(self, *transforms: TransformStamped, static: bool = False) -> None:
        """Publish transforms."""
        (self._static if static else self._tf).publish(TFMessage(transforms=list(transforms)))

    def send_infos(self, info: CameraInfo | None, depth_info: CameraInfo | None) -> None:
        """Publish camera_infos."""
        if info is not None:
            self._info.publish(info)
        if depth_info is not None:
            self._depth_info.publish(depth_info)

    def send_depth(self, message: Image) -> None:
        """Publish a depth image."""
        self._depth.publish(message)

    def send_detections(
        self, *found: Detection2D, frame: str = CAMERA, stamp: float | None = None
    ) -> Detection2DArray:
        """Publish detections at a stamp, by default now; return the message."""
        at = header(self.now if stamp is None else stamp, frame)
        for detection in found:
            detection.header = at
        message = Detection2DArray(header=at, detections=list(found))
        self._detections.publish(message)
        return message

    def step(self, *found: Detection2D, depth: Image | None = None, seconds: float = PERIOD) -> Detection2DArray:
        """Publish the next image: camera_infos, depth (else `scene`) and detections (else the plate)."""
        self.now += seconds
        self.send_infos(info_message(header(self.now)), info_message(header(self.now)))
        self.send_depth(depth_message(scene(), header(self.now)) if depth is None else depth)
        return self.send_detections(*(found or (plate(),)))

    def expect(self, reason: str, said: str, act: Callable[[], object]) -> None:
        """Act until objects are counted under a reason, and /diagnostics says why."""

        def is_counted() -> bool:
            act()
            return self.probe.happens(lambda: self.counts()[reason] > before and said in self.problem(), 2.0)

        self.probe.spin_until(self.counts, "/diagnostics")
        before = self.counts()[reason]
        self.probe.spin_until(is_counted, f"{reason}: {said}; found {self.status()}")

    def problem(self) -> str:
        """Everything that the newest status says."""
        values = {value.key: value.value for value in self.status().values}
        return f"{self.status().message}; {values.get('last problem')}"

    def status(self) -> DiagnosticStatus:
        """The newest status of the locator; an empty one before there is any."""
        statuses = [s for array in self._reports for s in array.status if s.name.endswith(": locator")]
        return statuses[-1] if statuses else DiagnosticStatus()

    def counts(self) -> Mapping[str, int]:
        """The newest counts of the locator."""
        return {value.key: int(value.value) for value in self.status().values if value.value.isdigit()}

    def answer(self, asked: Detection2DArray) -> Detection3DArray | None:
        """The answer to detections; None if there is none."""
        return next((a for a in self.answers if a.header.stamp == asked.header.stamp), None)

    def ask(self, asked: Detection2DArray) -> Detection3DArray:
        """Wait for the answer to detections."""
        self.probe.spin_until(lambda: self.answer(asked), f"detections_3d; {self.status()}", PATIENCE)
        answer = self.answer(asked)
        assert answer is not None
        return answer
