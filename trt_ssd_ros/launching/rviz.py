"""Rviz: launch action for rviz2, which shows the detector's debug images and the objects of the locators."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from posixpath import join
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch_ros.actions import Node

from trt_ssd_ros.files import share_folder

LAYOUT = share_folder() / "config" / "detect.rviz"
OBJECTS = share_folder() / "config" / "objects.rviz"
"""Layout for a detector with a locator."""
LOCATOR_TOPICS = ("markers", "obstacles", "locator/target")


def rviz(
    namespace: str,
    cameras: Sequence[str],
    renamed: Mapping[str, str],
    located: Sequence[str] = (),
    fixed_frame: str = "",
) -> Node:
    """Return the node of rviz2, with one panel for each camera's debug_image, and the objects of its locator.

    Args:
        namespace: Namespace of the detector.
        cameras: Names of the detector's cameras; empty: its only camera has no name.
        renamed: Topics of the detector with a new name, and that name.
        located: Names of the cameras that have a locator; the name of the only camera is empty.
        fixed_frame: Frame in which rviz2 draws; empty: that of the layout.

    Raises:
        RuntimeError: rviz2 is not installed.
    """
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError(
            "view:=rviz needs rviz2, which is not installed: sudo apt install "
            f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-rviz2; without ROS from apt, try view:=web"
        ) from error
    topics = [join(camera, "debug_image") for camera in cameras or [""]]
    topics += [join(camera, topic) for camera in located for topic in LOCATOR_TOPICS]
    layout = OBJECTS if located else LAYOUT
    if cameras or fixed_frame:
        layout = _written(layout, cameras, located, fixed_frame)
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=namespace,
        arguments=[
            "-d",
            str(layout),
        ],
        remappings=[(f"/{topic}", renamed.get(topic, topic)) for topic in topics],
        output="screen",
    )


def camera_layout(layout: dict[str, Any], cameras: Sequence[str], located: Sequence[str] = ()) -> dict[str, Any]:
    """Return a layout with a copy of its image panel for each camera, and of its other topics for each locator."""
    manager, windows = layout["Visualization Manager"], layout["Window Geometry"]
    displays = [copy for display in manager["Displays"] for copy in _copies(display, cameras, located)]
    [image] = [display for display in manager["Displays"] if _is_image(display)]
    panels = {camera: dict(windows[image["Name"]]) for camera in cameras}
    rest = {name: value for name, value in windows.items() if name != image["Name"]}
    return {
        **layout,
        "Visualization Manager": {**manager, "Displays": displays},
        "Window Geometry": {**panels, **rest},
    }


def _is_image(display: Mapping[str, Any]) -> bool:
    return str(display["Class"]).endswith("/Image")


def _copies(display: dict[str, Any], cameras: Sequence[str], located: Sequence[str]) -> list[dict[str, Any]]:
    """Return a display for each camera that has its topic; one without a topic stays as it is."""
    if "Topic" not in display:
        return [display]
    copies = []
    for camera in cameras if _is_image(display) else located:
        copy = deepcopy(display)
        copy["Name"] = camera if _is_image(display) else f"{camera} {display['Name'].lower()}"
        copy["Topic"]["Value"] = f"/{camera}{display['Topic']['Value']}"
        copies.append(copy)
    return copies


def _written(layout: Path, cameras: Sequence[str], located: Sequence[str], fixed_frame: str) -> Path:
    """Write a layout for these cameras into a temporary file, which rviz2 saves on request."""
    content = yaml.safe_load(layout.read_text())
    if cameras:
        content = camera_layout(content, cameras, located)
    if fixed_frame:
        content["Visualization Manager"]["Global Options"]["Fixed Frame"] = fixed_frame
    with NamedTemporaryFile("w", prefix="detect_", suffix=".rviz", delete=False, encoding="utf-8") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    return Path(file.name)
