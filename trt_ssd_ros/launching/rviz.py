"""Rviz: launch action for rviz2, which shows the detector's debug images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch_ros.actions import Node

from trt_ssd_ros.files import share_folder

LAYOUT = share_folder() / "config" / "detect.rviz"


def rviz(namespace: str, cameras: Sequence[str], renamed: Mapping[str, str]) -> Node:
    """Return the node of rviz2, with one panel for each camera's debug_image.

    Args:
        namespace: Namespace of the detector.
        cameras: Names of the detector's cameras; empty: its only camera has no name.
        renamed: Topics of the detector with a new name, and that name.

    Raises:
        RuntimeError: rviz2 is not installed.
    """
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError(
            "rviz:=true needs rviz2, which is not installed: sudo apt install "
            f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-rviz2; without ROS from apt, try scripts/demo --view"
        ) from error
    topics = [f"{camera}/debug_image" for camera in cameras] or ["debug_image"]
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=namespace,
        arguments=["-d", str(_written(cameras) if cameras else LAYOUT)],
        remappings=[(f"/{topic}", renamed.get(topic, topic)) for topic in topics],
        output="screen",
    )


def camera_layout(layout: dict[str, Any], cameras: Sequence[str]) -> dict[str, Any]:
    """Return a layout with a copy of its image panel for each camera."""
    manager, windows = layout["Visualization Manager"], layout["Window Geometry"]
    [display] = manager["Displays"]
    displays = [deepcopy(display) for _ in cameras]
    for camera, copy in zip(cameras, displays, strict=True):
        copy["Name"], copy["Topic"]["Value"] = camera, f"/{camera}/debug_image"
    panel = {camera: dict(windows[display["Name"]]) for camera in cameras}
    rest = {name: value for name, value in windows.items() if name != display["Name"]}
    return {
        **layout,
        "Visualization Manager": {**manager, "Displays": displays},
        "Window Geometry": {**panel, **rest},
    }


def _written(cameras: Sequence[str]) -> Path:
    """Write the layout of several cameras into a temporary file, which rviz2 saves on request."""
    layout = camera_layout(yaml.safe_load(LAYOUT.read_text()), cameras)
    with NamedTemporaryFile("w", prefix="detect_", suffix=".rviz", delete=False, encoding="utf-8") as file:
        yaml.safe_dump(layout, file, sort_keys=False)
    return Path(file.name)
