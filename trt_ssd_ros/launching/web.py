"""Web: launch action for the web node, which serves the page of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launch_ros.actions import Node

from trt_ssd_ros.launching.drivers import log_level, typed_parameter
from trt_ssd_ros.launching.exits import Respawn

NODE = "web"
MAX_PORT = 65535


def web(arguments: Mapping[str, str], renamed: Mapping[str, str]) -> Node:
    """Return the web node.

    Args:
        arguments: Launch arguments by their names.
        renamed: Topics of the detector with a new name, and that name.

    Raises:
        ValueError: The port is no number.
    """
    return Node(
        package="trt_ssd_ros",
        executable="web_node",
        name=NODE,
        namespace=arguments["namespace"],
        parameters=[
            arguments["params_file"],
            {name: typed_parameter(value) for name, value in _overrides(arguments).items()},
        ],
        remappings=list(renamed.items()),
        ros_arguments=log_level(arguments["namespace"], NODE, arguments["log_level"]),
        output="screen",
        # Detection goes on without its page, whose last line of the log says why it ended.
        on_exit=Respawn() if arguments["on_exit"] == "respawn" else None,
    )


def _overrides(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that the launch arguments give to the node."""
    overrides: dict[str, Any] = {"detector": arguments["detector_name"]}
    for name in ("host", "token"):
        if arguments[f"web_{name}"]:
            overrides[name] = arguments[f"web_{name}"]
    if arguments["web_port"]:
        overrides["port"] = _port(arguments["web_port"])
    if arguments["web_control"]:
        overrides["control"] = arguments["web_control"] == "true"
    return overrides


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > MAX_PORT:
        raise ValueError(f"web_port: found '{text}', expected a number from 0 to {MAX_PORT}")
    return int(text)
