"""Photos, folders, videos, streams and webcams through our camera node, without a driver.

ros2 launch trt_ssd_ros camera.launch.py source:=webcam:0 width:=1280 height:=720
ros2 launch trt_ssd_ros camera.launch.py source:=rtsp://10.0.0.8/stream

A webcam, stream or pipeline that is not there yet is waited for; wait_for_source:=false ends the node instead.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument

from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.launching.arguments import OWN_SOURCES, CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera

SOURCE = DeclareLaunchArgument("source", default_value="demo", description=OWN_SOURCES)


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the node's parameters."""
    source = request.source
    if request.pipeline and source != "gstreamer":
        raise ValueError(
            f"pipeline: found a pipeline with source:={without_password(source)}, "
            "expected source:=gstreamer or gscam"
        )
    return {
        "source": f"gstreamer:{request.pipeline}" if source == "gstreamer" else source,
        "width": request.width,
        "height": request.height,
        "rate": request.fps,
        "calibration": str(request.calibration) if request.calibration else None,
        "loop": request.loop,
        "wait_for_source": request.wait_for_source,
    }


DRIVER = Driver(
    package="trt_ssd_ros",
    executable="camera_node",
    takes=("width", "height", "fps", "pipeline", "frame_id", "calibration", "loop", "wait_for_source"),
    parameters=parameters,
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription([SOURCE, *describe_camera(DRIVER.start).entities])
