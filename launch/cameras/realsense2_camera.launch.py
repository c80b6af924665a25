"""The colour images of a RealSense camera through realsense2_camera.

ros2 launch trt_ssd_ros realsense2_camera.launch.py width:=1280 height:=720 fps:=30

Names: github.com/realsenseai/realsense-ros, README.md ("Parameters", "Camera name"), launch/rs_launch.py and
src/rs_node_setup.cpp (4.5x in Humble, Jazzy, Kilted; up to 4.54 the profile was called rgb_camera.profile, and
the topics were relative rather than private). The driver gets the calibration from the camera, and names the
frames after the node.
"""

from launch import LaunchDescription

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the driver's parameters."""
    profile = None
    if request.size or request.fps:
        if not (request.size and request.fps):
            raise ValueError(
                "width, height and fps: found only some of them, expected all or none for realsense2_camera"
            )
        profile = f"{request.width}x{request.height}x{request.fps:g}"
    return {
        "serial_no": request.device or None,
        "rgb_camera.color_profile": profile,
        "rgb_camera.profile": profile,
    }


DRIVER = Driver(
    package="realsense2_camera",
    executable="realsense2_camera_node",
    takes=("device", "width", "height", "fps"),
    parameters=parameters,
    images=("~/color/image_raw", "color/image_raw"),
    infos=("~/color/camera_info", "color/camera_info"),
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(DRIVER.start)
