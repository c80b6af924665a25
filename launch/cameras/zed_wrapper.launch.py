"""The left colour images of a ZED camera, rectified, through zed_wrapper.

ros2 launch trt_ssd_ros zed_wrapper.launch.py device:=zed2i

The wrapper needs its own parameters for each model, so its own launch file, zed_camera.launch.py, is included.
Names: github.com/stereolabs/zed-ros2-wrapper, README.md and zed_wrapper/launch/zed_camera.launch.py; its topics
had other names before version 5.1. Size and rate are general.grab_resolution and general.grab_frame_rate in
params_file; calibration and frames come from the camera. It is in no apt repository, and needs Stereolabs' SDK.
"""

from launch import LaunchDescription, LaunchDescriptionEntity

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import NODE_NAME, describe_camera, include_driver, require, to_our_topics

PACKAGE = "zed_wrapper"
INSTALL = "build it from https://github.com/stereolabs/zed-ros2-wrapper (branch for {distro})"
DEFAULT_MODEL = "zed2i"
IMAGES = ("~/rgb/color/rect/image", "~/rgb/image_rect_color")
INFOS = ("~/rgb/color/rect/camera_info", "~/rgb/camera_info")


def start(request: CameraRequest) -> list[LaunchDescriptionEntity]:
    """Include the wrapper's own launch file."""
    launch_file = require(PACKAGE, INSTALL) / "launch" / "zed_camera.launch.py"
    request.refuse_all_but(PACKAGE, ("device",))
    arguments = {
        "camera_model": request.device or DEFAULT_MODEL,
        "camera_name": request.namespace.strip("/").replace("/", "_") or "zed",
        "namespace": request.namespace,
        "node_name": NODE_NAME,
        "ros_params_override_path": str(request.params_file),
    }
    return [include_driver(launch_file, arguments, to_our_topics(request, IMAGES, INFOS))]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(start)
