"""Launch arguments that a launch file does not have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from launch.actions import DeclareLaunchArgument


def refuse_unknown_arguments(launch_file: Path, declared: Sequence[DeclareLaunchArgument]) -> None:
    """Refuse what was given to `ros2 launch` for a launch file that has no such argument; ROS leaves it aside.

    Where another launch file includes ours, though it be of the same name, the arguments on the command line are
    its own.

    Raises:
        ValueError: Names those that are near.
    """
    if not _on_command_line(launch_file):
        return
    names = [argument.name for argument in declared]
    for word in sys.argv:
        name, separator, _ = word.partition(":=")
        if separator and name not in names:
            near = get_close_matches(name, names)
            expected = f"perhaps {' or '.join(near)}" if near else f"one of {', '.join(names)}"
            raise ValueError(f"{name}: {launch_file.name} has no such argument, expected {expected}")


def _on_command_line(launch_file: Path) -> bool:
    """Tell whether the command line names this very file, as `trt_ssd_ros <name>` or by its path."""
    named = ("trt_ssd_ros", launch_file.name) in pairwise(sys.argv)
    same_names = [Path(word) for word in sys.argv if Path(word).name == launch_file.name]
    return named or any(path.exists() and path.samefile(launch_file) for path in same_names)
