"""Runs detect.launch.py with arguments name:=value, as `ros2 launch` does; that verb is not everywhere."""

from __future__ import annotations

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from trt_ssd_ros.files import share_folder

if __name__ == "__main__":
    source = PythonLaunchDescriptionSource(str(share_folder() / "launch" / "detect.launch.py"))
    arguments = [argument.split(":=", 1) for argument in sys.argv[1:] if ":=" in argument]
    service = LaunchService()
    service.include_launch_description(
        LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
    )
    sys.exit(service.run())
