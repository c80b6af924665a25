"""Runs a launch file with arguments name:=value, as `ros2 launch` does; that verb is not everywhere.

The first argument is the path of the launch file, or the package trt_ssd_ros, followed by the name of the file.
"""

from __future__ import annotations

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

from trt_ssd_ros.files import share_folder

if __name__ == "__main__":
    ours = sys.argv[1] == "trt_ssd_ros"
    source = AnyLaunchDescriptionSource(str(share_folder() / "launch" / sys.argv[2]) if ours else sys.argv[1])
    arguments = [argument.split(":=", 1) for argument in sys.argv[1:] if ":=" in argument]
    service = LaunchService()
    service.include_launch_description(
        LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
    )
    sys.exit(service.run())
