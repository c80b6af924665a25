"""Drivers: launch actions that all camera launch files share.

The node of every driver is called `camera`. It publishes on image_topic, and camera_info in the same namespace. If
a driver is not installed, the launch ends with a one-line error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_path
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node, SetRemap
from launch_ros.parameter_descriptions import ParameterValue

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.launching.arguments import CAMERA_ARGUMENTS, NODE_ARGUMENTS, CameraRequest
from trt_ssd_ros.launching.exits import end_if_failed, exit_handler
from trt_ssd_ros.launching.names import absolute_name, file_sets
from trt_ssd_ros.launching.yaml_strings import quote_numbers
from trt_ssd_ros.ros.transport import profile_environment

quote_numbers(yaml.Dumper)  # launch_ros writes the parameters of a Node with it

NODE_NAME = "camera"
APT = "sudo apt install ros-{distro}-{name}"

Parameters = Mapping[str, Any]
Remappings = list[tuple[str, str]]


@dataclass(frozen=True)
class Driver:
    """A camera driver, with the names from its documentation.

    Attributes:
        package: ROS package of the driver.
        executable: Executable of the driver.
        takes: Names of the CAMERA_ARGUMENTS that the driver supports.
        parameters: Returns the driver's parameters for a request; None leaves a parameter at its default.
        images: Image topics of the driver, in all its releases.
        infos: camera_info topics of the driver, in all its releases.
        frame: Parameter with the frame id, of drivers that take frame_id.
    """

    package: str
    executable: str
    takes: Sequence[str]
    parameters: Callable[[CameraRequest], Parameters]
    images: Sequence[str] = ("image_raw",)
    infos: Sequence[str] = ("camera_info",)
    frame: str = "frame_id"

    def start(self, request: CameraRequest) -> list[LaunchDescriptionEntity]:
        """Return the driver's node.

        Raises:
            RuntimeError: The driver is not installed.
            ValueError: The driver does not support an argument of the request.
        """
        require(self.package)
        return [camera_node(self, request)]

    def settings(self, request: CameraRequest) -> Parameters:
        """Return the parameters that the request gives to the driver.

        Raises:
            ValueError: The driver does not support an argument of the request.
        """
        request.refuse_unsupported(self.package, self.takes)
        asked = {**self.parameters(request), self.frame: self.frame_id(request)}
        return {name: value for name, value in asked.items() if value is not None}

    def frame_id(self, request: CameraRequest) -> str | None:
        """Return the frame id to give to the driver; None if params_file gives it, or the driver takes none.

        The default is the full name of the node, so that cameras of several namespaces have frames of their own.
        """
        node = absolute_name(request.namespace, NODE_NAME)
        if "frame_id" not in self.takes or request.frame_id:
            return request.frame_id or None
        return None if file_sets(request.params_file, node, self.frame) else node.lstrip("/")


def describe_camera(
    start: Callable[[CameraRequest], list[LaunchDescriptionEntity]],
) -> LaunchDescription:
    """Return a camera's launch description.

    Args:
        start: Returns the actions for a request.
    """

    def launch(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [*dds_profile(), *start(CameraRequest.from_context(context))]

    return LaunchDescription([*NODE_ARGUMENTS, *CAMERA_ARGUMENTS, OpaqueFunction(function=launch)])


def require(package: str, install: str = APT, instead: str = "source:=webcam:0 needs no driver") -> Path:
    """Return the share folder of a driver's package.

    Args:
        package: Name of the package.
        install: Command that installs it.
        instead: Advice for users who cannot install it.

    Raises:
        RuntimeError: The package is not installed; the message gives the command that installs it.
    """
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        how = install.format(distro=distro, name=package.replace("_", "-"))
        raise RuntimeError(f"the package {package} is not installed: {how}; {instead}") from None
    return Path(get_package_share_path(package))


def camera_node(driver: Driver, request: CameraRequest) -> Node:
    """Return the node of a driver; `on_exit` says what the launch does when the node ends."""
    settings = {name: typed_parameter(value) for name, value in driver.settings(request).items()}
    return Node(
        package=driver.package,
        executable=driver.executable,
        name=NODE_NAME,
        namespace=request.namespace,
        parameters=[str(request.params_file), *([settings] if settings else [])],
        remappings=topic_remappings(request, driver.images, driver.infos),
        ros_arguments=log_level(request.namespace, NODE_NAME, request.log_level),
        output="screen",
        on_exit=exit_handler(request.on_exit, end_if_failed),
    )


def typed_parameter(value: Any) -> Any:
    """Mark a string or a list of them, because launch_ros parses a serial number as a number."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ParameterValue(value, value_type=list[str])
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def include_driver(
    launch_file: Path,
    arguments: Mapping[str, str],
    remappings: Remappings,
) -> GroupAction:
    """Include a driver's launch file in its own scope, with its topics remapped."""
    source = PythonLaunchDescriptionSource(str(launch_file))
    include = IncludeLaunchDescription(source, launch_arguments=arguments.items())
    return GroupAction([*(SetRemap(src=old, dst=new) for old, new in remappings), include])


def topic_remappings(request: CameraRequest, images: Sequence[str], infos: Sequence[str]) -> Remappings:
    """Return the remappings of a driver's topics to image_topic, and to camera_info in the same namespace."""
    info = join(dirname(request.image_topic), "camera_info")
    return [*((name, request.image_topic) for name in images), *((name, info) for name in infos)]


def dds_profile() -> list[SetEnvironmentVariable]:
    """Return the environment variables of our Fast DDS profile, if it applies; see `profile_environment`."""
    profile = profile_environment(share_folder() / "config" / "fastdds_large_images.xml")
    return [SetEnvironmentVariable(name, value) for name, value in profile.items()]


def log_level(namespace: str, node: str, level: str) -> list[str]:
    """Return the ROS arguments that set the level of a single node's logger."""
    logger = ".".join([*namespace.strip("/").split("/"), node]).lstrip(".")
    return ["--log-level", f"{logger}:={level}"]
