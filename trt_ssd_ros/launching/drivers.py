"""Drivers: the actions that the launch files of all cameras share.

Every camera's node is called `camera`, its images come on image_topic and its camera_info beside them, and a
driver that is not installed ends the launch with one line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_path
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node, SetRemap
from launch_ros.parameter_descriptions import ParameterValue

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.launching.arguments import CAMERA_ARGUMENTS, NODE_ARGUMENTS, CameraRequest
from trt_ssd_ros.ros.transport import profile_environment

NODE_NAME = "camera"
RESPAWN_DELAY = 2.0
APT = "sudo apt install ros-{distro}-{name}"

Parameters = Mapping[str, Any]
Remappings = list[tuple[str, str]]


@dataclass(frozen=True)
class Driver:
    """A camera's driver, by the names of its own documentation.

    Attributes:
        package: Its ROS package.
        executable: Its executable.
        takes: Those of CAMERA_ARGUMENTS that it understands.
        parameters: Its parameters for what is asked of it; those that are None are left to it.
        images: Topics that it publishes images on, under all names that its releases use.
        infos: The same for camera_info.
    """

    package: str
    executable: str
    takes: Sequence[str]
    parameters: Callable[[CameraRequest], Parameters]
    images: Sequence[str] = ("image_raw",)
    infos: Sequence[str] = ("camera_info",)

    def start(self, request: CameraRequest) -> list[LaunchDescriptionEntity]:
        """Return the driver's node.

        Raises:
            RuntimeError: The driver is not installed.
            ValueError: It does not take what is asked of it.
        """
        require(self.package)
        request.refuse_all_but(self.package, self.takes)
        return [camera_node(self, request)]


def describe_camera(
    start: Callable[[CameraRequest], list[LaunchDescriptionEntity]],
) -> LaunchDescription:
    """Return a camera's launch description.

    Args:
        start: Returns what the arguments ask for.
    """

    def launch(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [*dds_profile(), *start(CameraRequest.of(context))]

    return LaunchDescription([*NODE_ARGUMENTS, *CAMERA_ARGUMENTS, OpaqueFunction(function=launch)])


def require(package: str, install: str = APT) -> Path:
    """Return the share folder of a driver's package.

    Raises:
        RuntimeError: It is not installed; says what to do.
    """
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        how = install.format(distro=distro, name=package.replace("_", "-"))
        raise RuntimeError(
            f"the package {package} is not installed: {how}; source:=webcam:0 needs no driver"
        ) from None
    return Path(get_package_share_path(package))


def camera_node(driver: Driver, request: CameraRequest) -> Node:
    """Return the node of a driver; when it fails the launch ends, unless it is started again."""
    asked = {name: value for name, value in driver.parameters(request).items() if value is not None}
    settings = {name: exact(value) for name, value in asked.items()}
    return Node(
        package=driver.package,
        executable=driver.executable,
        name=NODE_NAME,
        namespace=request.namespace,
        parameters=[str(request.params_file), *([settings] if settings else [])],
        remappings=to_our_topics(request, driver.images, driver.infos),
        ros_arguments=log_level(request.namespace, NODE_NAME, request.log_level),
        output="screen",
        respawn=request.respawn,
        respawn_delay=RESPAWN_DELAY,
        on_exit=None if request.respawn else end_if_failed,
    )


def exact(value: Any) -> Any:
    """Keep launch_ros from reading a text of digits, as a serial number, as a number."""
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def include_driver(
    launch_file: Path,
    arguments: Mapping[str, str],
    remappings: Remappings,
) -> GroupAction:
    """Return a driver's own launch file, its topics renamed and our arguments kept from it."""
    source = PythonLaunchDescriptionSource(str(launch_file))
    include = IncludeLaunchDescription(source, launch_arguments=arguments.items())
    return GroupAction([*(SetRemap(src=old, dst=new) for old, new in remappings), include])


def to_our_topics(request: CameraRequest, images: Sequence[str], infos: Sequence[str]) -> Remappings:
    """Return the remappings to image_topic, and to camera_info beside it."""
    info = join(dirname(request.image_topic), "camera_info")
    return [*((name, request.image_topic) for name in images), *((name, info) for name in infos)]


def absolute_topic(request: CameraRequest, topic: str) -> str:
    """Return a topic's full name."""
    return join("/", request.namespace, topic)


def dds_profile() -> list[SetEnvironmentVariable]:
    """Return what gives Fast DDS room for large images, unless that is settled; see `profile_environment`."""
    profile = profile_environment(share_folder() / "config" / "fastdds_large_images.xml")
    return [SetEnvironmentVariable(name, value) for name, value in profile.items()]


def end_if_failed(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch, and make it fail, when a process fails; one that is done leaves the others running.

    What a process ends with once the launch is ending (Ctrl-C) is no failure: many drivers do not end with 0 then.
    """
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"{event.process_name} failed (exit code {event.returncode}), see above")


def log_level(namespace: str, node: str, level: str) -> list[str]:
    """Return the ROS arguments that set the level of one node's own logger."""
    logger = ".".join([*namespace.strip("/").split("/"), node]).lstrip(".")
    return ["--log-level", f"{logger}:={level}"]
