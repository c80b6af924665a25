"""A libcamera camera, e.g. of a Raspberry Pi, through camera_ros.

ros2 launch trt_ssd_ros camera_ros.launch.py device:=0 width:=1280 height:=720 fps:=30

Names: github.com/christianrauch/camera_ros, README.md and src/CameraNode.cpp (Humble, Jazzy, Kilted). libcamera
takes limits of the frame duration in µs instead of a frame rate. By default the driver publishes the camera's own
pixel format; the detector reads 8-bit formats and YUV.
"""

from launch import LaunchDescription

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the driver's parameters."""
    duration = round(1e6 / request.fps) if request.fps else None
    return {
        "camera": int(request.device) if request.device.isdecimal() else request.device or None,
        "width": request.width,
        "height": request.height,
        "FrameDurationLimits": [duration, duration] if duration else None,
        "camera_info_url": request.calibration_url,
    }


DRIVER = Driver(
    package="camera_ros",
    executable="camera_node",
    takes=("device", "width", "height", "fps", "frame_id", "calibration"),
    parameters=parameters,
    images=("~/image_raw",),
    infos=("~/camera_info",),
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(DRIVER.start)
