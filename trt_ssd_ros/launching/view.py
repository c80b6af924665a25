"""View: launch arguments that choose how a user sees the detections."""

from __future__ import annotations

from collections.abc import Mapping

from launch.actions import DeclareLaunchArgument

from trt_ssd_ros.launching.arguments import BOOLEANS

WEB_ARGUMENTS = (
    DeclareLaunchArgument(
        "web_host",
        default_value="",
        description="Address on which the web page is served; 0.0.0.0: every network, with a token; empty: as in "
        "params_file, else this machine only (docs/web.md)",
    ),
    DeclareLaunchArgument(
        "web_port",
        default_value="",
        description="Port of the web page; 0: any free one; empty: as in params_file, else 8080",
    ),
    DeclareLaunchArgument(
        "web_token",
        default_value="",
        description="Token that the web page needs; empty: as in params_file, else the node makes one if others "
        "than this machine reach the page",
    ),
    DeclareLaunchArgument(
        "web_control",
        default_value="",
        choices=("", *BOOLEANS),
        description="Let the web page set the detector's parameters; empty: as in params_file, else false",
    ),
)

VIEW_ARGUMENTS = (
    DeclareLaunchArgument(
        "view",
        default_value="none",
        choices=("none", "rviz", "web"),
        description="Show the detections: none | rviz (rviz2 with debug_image of each camera, with "
        "depth also the objects in space) | web (a page for "
        "browsers; the launch prints its address)",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=BOOLEANS, description="Another name: true is view:=rviz"
    ),
    *WEB_ARGUMENTS,
)


def chosen_view(arguments: Mapping[str, str]) -> str:
    """Return the chosen view: none, rviz or web.

    Raises:
        ValueError: Two arguments contradict each other; the message begins with one of them.
    """
    view = arguments["view"]
    if arguments["rviz"] == "true":
        if view == "web":
            raise ValueError("rviz: found 'true' beside view:=web, expected only one of them")
        view = "rviz"
    for name in (argument.name for argument in WEB_ARGUMENTS):
        if arguments[name] and view != "web":
            found = "a token" if name == "web_token" else f"'{arguments[name]}'"
            raise ValueError(f"{name}: found {found} with view:={view}, expected view:=web")
    return view
