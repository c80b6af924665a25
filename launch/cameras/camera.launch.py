"""Photos, folders, videos, streams and webcams through our camera node, without a driver.

ros2 launch trt_ssd_ros camera.launch.py source:=webcam:0 width:=1280 height:=720
ros2 launch trt_ssd_ros camera.launch.py source:=rtsp://10.0.0.8/stream

A webcam, stream or pipeline that is not there yet is waited for; wait_for_source:=false ends the node instead.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument

from trt_ssd_ros.launching.arguments import OWN_SOURCES
from trt_ssd_ros.launching.drivers import describe_camera
from trt_ssd_ros.launching.own_camera import OWN_CAMERA

SOURCE = DeclareLaunchArgument("source", default_value="demo", description=OWN_SOURCES)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription([SOURCE, *describe_camera(OWN_CAMERA.start).entities])
