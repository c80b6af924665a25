"""Two cameras, each with its own detector: /left/detections and /right/detections.

ros2 launch examples/two_cameras.launch.py    # the demo twice
ros2 launch examples/two_cameras.launch.py left:=usb_cam:/dev/video0 right:=usb_cam:/dev/video2
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

DETECT = PathJoinSubstitution([FindPackageShare("trt_ssd_ros"), "launch", "detect.launch.py"])
CAMERAS = ("left", "right")


def camera(name: str) -> GroupAction:
    """Return a camera and its detector in a namespace; the group keeps their arguments from the other camera's."""
    arguments = {
        "namespace": name,
        "source": LaunchConfiguration(name),
        "frame_id": f"{name}_camera",
        "on_exit": "respawn",
    }
    source = PythonLaunchDescriptionSource(DETECT)
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=arguments.items())])


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    sources = [
        DeclareLaunchArgument(name, default_value="demo", description=f"source of the {name} camera")
        for name in CAMERAS
    ]
    return LaunchDescription([*sources, *map(camera, CAMERAS)])
