"""The camera drivers that tests stand in for: what their documentation says they take and publish.

The sources are those that the files in launch/cameras name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NODE_SCRIPT = Path(__file__).parent / "stand_in_driver.py"

DEPTHAI_LAUNCH = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("name", default_value="oak"),
        DeclareLaunchArgument("namespace", default_value=""),
        DeclareLaunchArgument("params_file"),
        Node(
            package="depthai_ros_driver",
            executable="stand_in",
            output="screen",
            name=LaunchConfiguration("name"),
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file")],
        ),
    ])
"""

ZED_LAUNCH = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("camera_name", default_value="zed"),
        DeclareLaunchArgument("camera_model", choices=["zed", "zedm", "zed2", "zed2i", "zedx", "zedxm"]),
        DeclareLaunchArgument("node_name", default_value="zed_node"),
        DeclareLaunchArgument("ros_params_override_path", default_value=""),
        Node(
            package="zed_wrapper",
            executable="zed_wrapper",
            output="screen",
            name=LaunchConfiguration("node_name"),
            namespace=LaunchConfiguration("camera_name"),
            parameters=[
                {"general.camera_model": LaunchConfiguration("camera_model")},
                LaunchConfiguration("ros_params_override_path"),
            ],
        ),
    ])
"""


@dataclass(frozen=True)
class StandIn:
    """A driver as its documentation describes it.

    Attributes:
        package: Its package.
        executable: Its executable.
        node: Its node's own name.
        parameters: Its parameters with their defaults, which give their types.
        size: The parameters of width and height, where it has one for each.
        frame: The parameter of the frame_id; empty: it names its frames after its node.
        encoding: Of its images.
        image: The topic of its images.
        info: The topic of its camera_info.
        launch_files: Launch files that belong to it, and their text.
    """

    package: str
    executable: str
    node: str
    parameters: Mapping[str, Any]
    size: tuple[str, ...] = ()
    frame: str = ""
    encoding: str = "rgb8"
    image: str = "image_raw"
    info: str = "camera_info"
    launch_files: Mapping[str, str] = field(default_factory=dict)

    def install(self, prefix: Path) -> None:
        """Make a package that ament finds, with an executable that runs a real node."""
        share, lib = prefix / "share" / self.package, prefix / "lib" / self.package
        index = prefix / "share" / "ament_index" / "resource_index" / "packages"
        for folder in (share / "launch", lib, index):
            folder.mkdir(parents=True, exist_ok=True)
        (index / self.package).touch()
        for name, text in self.launch_files.items():
            (share / "launch" / name).write_text(text)
        settings = lib / "stand_in.json"
        settings.write_text(json.dumps(vars(self)))
        executable = lib / self.executable
        executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{NODE_SCRIPT}" "{settings}" "$@"\n')
        executable.chmod(0o755)


USB_CAM = StandIn(
    package="usb_cam",
    executable="usb_cam_node_exe",
    node="usb_cam",
    parameters={
        "video_device": "/dev/video0",
        "framerate": 30.0,
        "frame_id": "default_cam",
        "image_width": 640,
        "image_height": 480,
        "camera_info_url": "",
        "pixel_format": "yuyv",
    },
    size=("image_width", "image_height"),
    frame="frame_id",
    encoding="yuv422_yuy2",
)
V4L2_CAMERA = StandIn(
    package="v4l2_camera",
    executable="v4l2_camera_node",
    node="v4l2_camera",
    parameters={
        "video_device": "/dev/video0",
        "camera_info_url": "",
        "camera_frame_id": "camera",
        "output_encoding": "rgb8",
        "pixel_format": "YUYV",
        "image_size": [640, 480],
    },
    frame="camera_frame_id",
)
CAMERA_ROS = StandIn(
    package="camera_ros",
    executable="camera_node",
    node="camera",
    parameters={
        "camera": 0,
        "width": 640,
        "height": 480,
        "frame_id": "camera",
        "camera_info_url": "",
        "FrameDurationLimits": [33333, 33333],
    },
    size=("width", "height"),
    frame="frame_id",
    encoding="bgra8",
    image="~/image_raw",
    info="~/camera_info",
)
GSCAM = StandIn(
    package="gscam",
    executable="gscam_node",
    node="gscam_publisher",
    parameters={
        "gscam_config": "",
        "sync_sink": True,
        "reopen_on_eof": False,
        "image_encoding": "rgb8",
        "frame_id": "camera_frame",
        "camera_info_url": "",
    },
    frame="frame_id",
    image="camera/image_raw",
    info="camera/camera_info",
)
REALSENSE = StandIn(
    package="realsense2_camera",
    executable="realsense2_camera_node",
    node="camera",
    parameters={"serial_no": "", "rgb_camera.color_profile": "640x480x30"},
    image="~/color/image_raw",
    info="~/color/camera_info",
)
DEPTHAI = StandIn(
    package="depthai_ros_driver",
    executable="stand_in",
    node="oak",
    parameters={
        "camera.i_mx_id": "",
        "camera.i_pipeline_type": "RGBD",
        "camera.i_nn_type": "spatial",
        "rgb.i_width": 1280,
        "rgb.i_height": 720,
        "rgb.i_fps": 30.0,
    },
    size=("rgb.i_width", "rgb.i_height"),
    encoding="bgr8",
    image="~/rgb/image_raw",
    info="~/rgb/camera_info",
    launch_files={"camera.launch.py": DEPTHAI_LAUNCH},
)
ZED = StandIn(
    package="zed_wrapper",
    executable="zed_wrapper",
    node="zed_node",
    parameters={"general.camera_model": ""},
    encoding="bgra8",
    image="~/rgb/color/rect/image",
    info="~/rgb/color/rect/camera_info",
    launch_files={"zed_camera.launch.py": ZED_LAUNCH},
)
IMAGE_PUBLISHER = StandIn(
    package="image_publisher",
    executable="image_publisher_node",
    node="ImagePublisher",
    parameters={"filename": "", "publish_rate": 10.0, "frame_id": "camera", "camera_info_url": ""},
    frame="frame_id",
    encoding="bgr8",
)
STAND_INS = (USB_CAM, V4L2_CAMERA, CAMERA_ROS, GSCAM, REALSENSE, DEPTHAI, ZED, IMAGE_PUBLISHER)
