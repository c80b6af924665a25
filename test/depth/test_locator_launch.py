"""The whole in one launch: the demo's camera, tracked objects, a depth camera beside it, a robot that moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from depth_rig import depth_message, info_message, points, transform
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from probe import Probe
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3D, Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from trt_ssd_ros.bench.depth.rendering import Cuboid, Plane, render
from trt_ssd_ros.depth.camera_model import PinholeCamera
from trt_ssd_ros.ros.stamps import nanoseconds

pytestmark = pytest.mark.ros

WIDTH, HEIGHT, FOCAL = 1280, 720, 1000.0
CAMERA = PinholeCamera(WIDTH // 8, HEIGHT // 8, FOCAL / 8, FOCAL / 8, WIDTH / 16 - 0.5, HEIGHT / 16 - 0.5)
"""The depth camera looks along the rays of the camera, and has an eighth of its width and height."""
UPRIGHT = (-0.5, 0.5, -0.5, 0.5)
"""Rotation of an optical frame in one with x ahead, y left and z up (REP 103)."""
WALL, SPEED, THIN = 5.0, 0.5, 0.02

CALIBRATION = f"""
image_width: {WIDTH}
image_height: {HEIGHT}
camera_name: demo
camera_matrix: {{rows: 3, cols: 3, data: [{FOCAL}, 0, 639.5, 0, {FOCAL}, 359.5, 0, 0, 1]}}
distortion_model: plumb_bob
distortion_coefficients: {{rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [{FOCAL}, 0, 639.5, 0, 0, {FOCAL}, 359.5, 0, 0, 0, 1, 0]}}
"""


def distance(label: str) -> float:
    """The distance of an object of a class in metres."""
    return 1.0 + len(label) / 5


def corners(found: Detection2D) -> NDArray[np.float64]:
    """The box of an object in pixels, x1 y1 x2 y2."""
    box = found.bbox
    x, y, half = box.center.position.x, box.center.position.y, (box.size_x / 2, box.size_y / 2)
    return np.array([x - half[0], y - half[1], x + half[0], y + half[1]])


def plate(found: Detection2D) -> Cuboid:
    """A thin plate that fills the box of an object, at the distance of its class."""
    z = distance(label(found))
    left, top, right, bottom = (corners(found) - 0.5 - np.array([639.5, 359.5] * 2)) / FOCAL * z
    centre = np.array([(left + right) / 2, (top + bottom) / 2, z + THIN / 2])
    return Cuboid(centre, np.array([right - left, bottom - top, THIN]), np.eye(3))


class Robot:
    """Everything beside the launch: the depth camera, which sees a plate where each object is, and odometry.

    Attributes:
        seen: Detections by their stamps in nanoseconds.
    """

    def __init__(self, probe: Probe) -> None:
        node = probe.node
        self.seen: dict[int, Detection2DArray] = {}
        self._start = 0
        self._depth = node.create_publisher(Image, "depth/image", 10)
        self._info = node.create_publisher(CameraInfo, "depth/camera_info", 10)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        node.create_subscription(Detection2DArray, "detections", self._on_detections, 10)

    def _on_detections(self, message: Detection2DArray) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._start = self._start or stamp
        self.seen[stamp] = message
        self._tf.publish(TFMessage(transforms=[self.pose(message.header)]))
        self._info.publish(info_message(message.header, CAMERA.width, CAMERA.height, CAMERA.fx))
        solids = [Plane(np.array([0.0, 0.0, 1.0]), WALL), *map(plate, message.detections)]
        samples = np.rint(render(solids, CAMERA) * 1000).astype("<u2")
        self._depth.publish(depth_message(samples, message.header, "16UC1"))

    def pose(self, header: Header) -> TransformStamped:
        """The pose of the camera in the map at the time of an image: it drives along x."""
        x = (nanoseconds(header.stamp) - self._start) / 1e9 * SPEED
        return transform("map", header.frame_id, header, (x, 2, 1), UPRIGHT)

    def place(self, found: Detection2D, header: Header) -> NDArray[np.float64]:
        """The true place of the middle of an object in the map."""
        z = distance(label(found))
        x, y = (corners(found)[:2] + corners(found)[2:]) / 2 - 0.5
        move = self.pose(header).transform.translation
        return np.array([move.x + z, move.y - (x - 639.5) / FOCAL * z, move.z - (y - 359.5) / FOCAL * z])


def label(found: Detection2D | Detection3D) -> str:
    """The class of an object."""
    return str(found.results[0].hypothesis.class_id)


def is_in_front(found: Detection2D, message: Detection2DArray) -> bool:
    """Whether the plate of an object covers those of all objects whose boxes touch its box."""
    x1, y1, x2, y2 = corners(found)
    others = [other for other in message.detections if other is not found]
    boxes = [corners(other) for other in others if distance(label(other)) <= distance(label(found))]
    return all(a2 < x1 or a1 > x2 or b2 < y1 or b1 > y2 for a1, b1, a2, b2 in boxes)


def added(messages: list[MarkerArray]) -> list[Marker]:
    """The markers of objects."""
    return [marker for message in messages for marker in message.markers if marker.action == Marker.ADD]


def test_tracked_objects_of_the_demo_have_places_in_the_map(probe, start_launch, tmp_path):
    calibration: Path = tmp_path / "demo.yaml"
    calibration.write_text(CALIBRATION)
    arguments = ("tracking:=true", "depth:=/depth/image", "target_frame:=map", "fps:=5")
    process = start_launch("source:=demo", f"calibration:={calibration}", *arguments)
    robot = Robot(probe)
    answers: list[Detection3DArray] = probe.receive(Detection3DArray, "detections_3d")
    markers: list[MarkerArray] = probe.receive(MarkerArray, "markers")
    clouds: list[PointCloud2] = probe.receive(PointCloud2, "obstacles")
    checked: set[str] = set()

    def is_enough() -> bool:
        while answers:
            check(answers.pop(0))
        return len(checked) > 1

    def check(answer: Detection3DArray) -> None:
        """Compare the objects that a depth camera can tell apart with the truth."""
        asked = robot.seen[nanoseconds(answer.header.stamp)]
        assert answer.header == Header(stamp=asked.header.stamp, frame_id="map")
        by_id = {found.id: found for found in asked.detections if found.id}
        for placed in answer.detections:
            found = by_id.get(placed.id)
            if found is not None and is_in_front(found, asked):
                assert placed.results[0].hypothesis == found.results[0].hypothesis
                position = placed.bbox.center.position
                truth = pytest.approx(robot.place(found, asked.header), abs=0.05 * distance(label(found)))
                assert [position.x, position.y, position.z] == truth
                checked.add(placed.id)

    probe.spin_until(is_enough, "places of two objects", 60.0)
    probe.spin_until(
        lambda: added(markers) and [cloud for cloud in clouds if cloud.width], "markers and obstacles"
    )
    drawn = added(markers)
    assert {marker.header.frame_id for marker in drawn} == {"map"}
    assert {nanoseconds(marker.header.stamp) for marker in drawn} <= robot.seen.keys()
    assert {marker.ns for marker in drawn} == {"boxes", "labels"}
    filled = [cloud for cloud in clouds if cloud.width]
    assert {cloud.header.frame_id for cloud in filled} == {"map"}
    assert np.isfinite(points(filled[-1])).all()
    assert "Traceback" not in process.log
