"""A Video4Linux camera through v4l2_camera.

ros2 launch trt_ssd_ros v4l2_camera.launch.py device:=/dev/video2 width:=1280 height:=720

Names: github.com/ros2-gbp/ros2_v4l2_camera-release, src/parameters.cpp and src/v4l2_camera.cpp (Humble, Jazzy,
Kilted). The driver has no parameter for the rate. Its default output_encoding, rgb8, needs a conversion;
for a YUYV camera, `output_encoding: yuv422_yuy2` in params_file avoids it.
"""

from launch import LaunchDescription

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the driver's parameters."""
    return {
        "video_device": request.device or None,
        "image_size": list(request.size) if request.size else None,
        "camera_info_url": request.calibration_url,
    }


DRIVER = Driver(
    package="v4l2_camera",
    executable="v4l2_camera_node",
    takes=("device", "width", "height", "frame_id", "calibration"),
    parameters=parameters,
    frame="camera_frame_id",
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(DRIVER.start)
