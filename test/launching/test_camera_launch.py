"""Every camera, one launch argument away: drivers that are not here are stood in for by nodes of their names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess
from probe import Probe, new_domain
from sensor_msgs.msg import CameraInfo, Image
from stand_ins import STAND_INS
from vision_msgs.msg import Detection2DArray

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Robot:
    """A camera with its detector: the launch arguments, and what is to come of them."""

    arguments: dict[str, str]
    encoding: str
    size: tuple[int, int]
    frame_id: str
    parameters: dict[str, Any]


ROBOTS = {
    "usb_cam": Robot(
        {"source": "usb_cam:/dev/video2", "width": "320", "height": "240", "fps": "15", "frame_id": "front"},
        "yuv422_yuy2",
        (320, 240),
        "front",
        {"video_device": "/dev/video2", "framerate": 15.0},
    ),
    "v4l2_camera": Robot(
        {"source": "v4l2_camera", "device": "/dev/video4", "width": "352", "height": "288"},
        "rgb8",
        (352, 288),
        "v4l2_camera/camera",
        {"video_device": "/dev/video4", "image_size": [352, 288]},
    ),
    "camera_ros": Robot(
        {"source": "camera_ros:1", "width": "400", "height": "300", "fps": "20", "frame_id": "nose"},
        "bgra8",
        (400, 300),
        "nose",
        {"camera": 1, "FrameDurationLimits": [50000, 50000]},
    ),
    "gscam": Robot(
        {"source": "gscam", "pipeline": "rtsp", "device": "rtsp://camera/1"},
        "rgb8",
        (640, 480),
        "gscam/camera",
        {"sync_sink": False, "reopen_on_eof": True},
    ),
    "realsense2_camera": Robot(
        {"source": "realsense2_camera:12345", "width": "424", "height": "240", "fps": "30"},
        "rgb8",
        (424, 240),
        "realsense2_camera/camera_optical_frame",
        {"serial_no": "12345", "rgb_camera.color_profile": "424x240x30"},
    ),
    "depthai_ros_driver": Robot(
        {"source": "depthai_ros_driver", "width": "416", "height": "234", "fps": "10"},
        "bgr8",
        (416, 234),
        "depthai_ros_driver/camera_optical_frame",
        {"camera.i_pipeline_type": "RGB", "camera.i_nn_type": "none", "rgb.i_fps": 10.0},
    ),
    "zed_wrapper": Robot(
        {"source": "zed_wrapper:zedx"},
        "bgra8",
        (640, 480),
        "zed_wrapper/camera_optical_frame",
        {"general.camera_model": "zedx"},
    ),
    "image_publisher": Robot(
        {"source": "image_publisher:/photos/cat.jpg", "fps": "5", "frame_id": "shelf"},
        "bgr8",
        (640, 480),
        "shelf",
        {"filename": "/photos/cat.jpg", "publish_rate": 5.0},
    ),
}


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix with packages that stand in for all drivers."""
    prefix = tmp_path_factory.mktemp("drivers")
    for stand_in in STAND_INS:
        stand_in.install(prefix)
    return prefix


@dataclass(frozen=True)
class Heard:
    """What the cameras and the detector published."""

    process: NodeProcess
    images: list[Image]
    infos: list[CameraInfo]
    detections: list[Detection2DArray]

    def of(self, frame_id: str) -> list[tuple[Image, Detection2DArray]]:
        """The images of one camera, with camera_info and detections of their stamp."""
        infos = {stamp(info) for info in self.infos if info.header.frame_id == frame_id}
        images = {stamp(i): i for i in self.images if i.header.frame_id == frame_id and stamp(i) in infos}
        found = [d for d in self.detections if d.header.frame_id == frame_id]
        return [(images[stamp(d)], d) for d in found if stamp(d) in images]

    @property
    def complete(self) -> bool:
        """Whether all cameras were seen."""
        return all(self.of(robot.frame_id) for robot in ROBOTS.values())


def stamp(message: Any) -> tuple[int, int]:
    """The stamp of a message."""
    return message.header.stamp.sec, message.header.stamp.nanosec


@pytest.fixture(scope="module")
def heard(drivers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """All cameras at once, each in a namespace of its own; one detector looks at the images of all."""
    groups = [
        {**robot.arguments, "namespace": name, "image_topic": "/image_raw"} for name, robot in ROBOTS.items()
    ]
    groups[0]["detect"] = "true"
    command = [sys.executable, str(Path(__file__).parents[1] / "support" / "run_cameras.py"), json.dumps(groups)]
    with ExitStack() as stack:
        domain = stack.enter_context(new_domain())
        probe = Probe(domain)
        stack.callback(probe.close)
        images, infos = probe.receive(Image, "/image_raw"), probe.receive(CameraInfo, "/camera_info")
        detections = probe.receive(Detection2DArray, "/usb_cam/detections")
        log = tmp_path_factory.mktemp("launch") / "launch.log"
        prefixes = os.pathsep.join([str(drivers), os.environ["AMENT_PREFIX_PATH"]])
        process = NodeProcess(command, domain, log, AMENT_PREFIX_PATH=prefixes)
        stack.callback(process.close)
        heard = Heard(process, images, infos, detections)
        probe.happens(lambda: heard.complete or not process.running, 60.0)
        yield heard


@pytest.mark.parametrize("name", ROBOTS)
def test_a_driver_gives_detections_with_the_header_of_its_images(heard, name):
    robot = ROBOTS[name]
    seen = heard.of(robot.frame_id)
    assert seen, heard.process.log
    for image, detections in seen:
        assert detections.header == image.header
        assert (image.width, image.height) == robot.size
        assert image.encoding == robot.encoding
    labels = {d.results[0].hypothesis.class_id for _, found in seen for d in found.detections}
    assert labels == {"cat"}, "the stand-in shows the photo of a cat"


@pytest.mark.parametrize("name", ROBOTS)
def test_arguments_reach_the_driver_under_its_own_names(heard, name):
    said = [line.partition("parameters: ") for line in heard.process.log.splitlines() if "parameters: {" in line]
    wanted = ROBOTS[name].parameters
    assert any(wanted.items() <= json.loads(text).items() for _, _, text in said), (wanted, said)
