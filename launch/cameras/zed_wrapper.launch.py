"""The rectified left colour images of a ZED camera through zed_wrapper.

ros2 launch trt_ssd_ros zed_wrapper.launch.py device:=zed2i

The wrapper has different parameters for each model, so its launch file, zed_camera.launch.py, is included.
Names: github.com/stereolabs/zed-ros2-wrapper, README.md and zed_wrapper/launch/zed_camera.launch.py; its topics
had other names before version 5.1. Set size and rate by general.grab_resolution and general.grab_frame_rate in
params_file; calibration and frames come from the camera. No apt repository has it, and it needs Stereolabs' SDK.
"""

from launch import LaunchDescription, LaunchDescriptionEntity

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import NODE_NAME, describe_camera, include_driver, require, topic_remappings

PACKAGE = "zed_wrapper"
INSTALL = "build it from https://github.com/stereolabs/zed-ros2-wrapper (branch for {distro})"
DEFAULT_MODEL = "zed2i"
IMAGES = ("~/rgb/color/rect/image", "~/rgb/image_rect_color")
INFOS = ("~/rgb/color/rect/camera_info", "~/rgb/camera_info")


def start(request: CameraRequest) -> list[LaunchDescriptionEntity]:
    """Include the wrapper's own launch file."""
    launch_file = require(PACKAGE, INSTALL) / "launch" / "zed_camera.launch.py"
    request.refuse_unsupported(PACKAGE, ("device",))
    arguments = {
        "camera_model": request.device or DEFAULT_MODEL,
        "camera_name": request.namespace.strip("/").replace("/", "_") or "zed",
        "namespace": request.namespace,
        "node_name": NODE_NAME,
        "ros_params_override_path": str(request.params_file),
    }
    return [include_driver(launch_file, arguments, topic_remappings(request, IMAGES, INFOS))]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(start)
