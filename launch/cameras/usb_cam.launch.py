"""A USB camera through usb_cam.

ros2 launch trt_ssd_ros usb_cam.launch.py device:=/dev/video2 width:=1280 height:=720 fps:=30

Names: github.com/ros-drivers/usb_cam, src/ros2/usb_cam_node.cpp and config/params_1.yaml, the same in Humble,
Jazzy and Kilted. Its default pixel_format, yuyv, is published as yuv422_yuy2 without a conversion, and the
detector reads it. For a camera that is fast only in Motion-JPEG, set `pixel_format: mjpeg2rgb` in params_file.
"""

from launch import LaunchDescription

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the driver's parameters."""
    return {
        "video_device": request.device or None,
        "image_width": request.width,
        "image_height": request.height,
        "framerate": request.fps,
        "camera_info_url": request.calibration_url,
    }


DRIVER = Driver(
    package="usb_cam",
    executable="usb_cam_node_exe",
    takes=("device", "width", "height", "fps", "frame_id", "calibration"),
    parameters=parameters,
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(DRIVER.start)
