"""Runs cameras in one launch: a JSON list of their arguments; those with `detect` get a detector."""

from __future__ import annotations

import json
import sys

from launch import LaunchDescription, LaunchService
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from trt_ssd_ros.files import share_folder

LAUNCH = share_folder() / "launch"


def camera(arguments: dict[str, str]) -> GroupAction:
    """Return detect.launch.py, or a camera's own file with source:=<driver>:<device> taken apart."""
    if arguments.pop("detect", ""):
        return include("detect.launch.py", arguments)
    driver, _, device = arguments.pop("source").partition(":")
    given = {"device": device, **arguments} if device else arguments
    return include(f"cameras/{driver}.launch.py", given)


def include(name: str, arguments: dict[str, str]) -> GroupAction:
    """Return a launch file with arguments that no other sees."""
    source = PythonLaunchDescriptionSource(str(LAUNCH / name))
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=arguments.items())])


if __name__ == "__main__":
    service = LaunchService()
    service.include_launch_description(LaunchDescription([*map(camera, json.loads(sys.argv[1]))]))
    sys.exit(service.run())
