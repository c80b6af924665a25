"""An image or a video through image_publisher of image_pipeline.

ros2 launch trt_ssd_ros image_publisher.launch.py device:=/path/of/photo.jpg fps:=10

Names: github.com/ros-perception/image_pipeline, image_publisher/src/image_publisher.cpp (Humble, Jazzy,
Kilted). Our camera node (source:=file:<path>) also takes folders, can play once, and skips unreadable files.
"""

from pathlib import Path

from launch import LaunchDescription

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the driver's parameters."""
    if not request.device:
        raise ValueError("device: image_publisher needs a file, e.g. source:=image_publisher:/path/of/photo.jpg")
    return {
        "filename": str(Path(request.device).expanduser()),
        "publish_rate": request.fps,
        "camera_info_url": request.calibration_url,
    }


DRIVER = Driver(
    package="image_publisher",
    executable="image_publisher_node",
    takes=("device", "fps", "frame_id", "calibration"),
    parameters=parameters,
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(DRIVER.start)
