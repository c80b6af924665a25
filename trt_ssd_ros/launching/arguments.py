"""Arguments: declarations and checks of the arguments that the launch files share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.utilities import prefix_namespace

from trt_ssd_ros.files import share_folder

BOOLEANS = ("true", "false")
LOG_LEVELS = ("debug", "info", "warn", "error")
LARGEST_SIDE = 65535
DEFAULT_TOPIC = "image_raw"
SHIPPED_PARAMETERS = share_folder() / "config" / "detect.yaml"
OWN_SOURCES = (
    "demo (photos of this package) | file:<path of an image, a folder or a video> | webcam:<number> | "
    "address of a stream, e.g. rtsp://... | gstreamer (with pipeline:=...)"
)

NODE_ARGUMENTS = (
    DeclareLaunchArgument(
        "image_topic",
        default_value=DEFAULT_TOPIC,
        description="Image topic to which the detector subscribes, and on which a started camera publishes",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes and relative topics"),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHIPPED_PARAMETERS),
        description="YAML file with the parameters of the nodes; those of a camera driver are under /**/camera",
    ),
    DeclareLaunchArgument(
        "log_level", default_value="info", choices=LOG_LEVELS, description="Log level of the nodes"
    ),
    DeclareLaunchArgument(
        "on_exit",
        default_value="",
        choices=("", "shutdown", "respawn", "ignore"),
        description="If the detector ends or a camera fails: shutdown (end the launch) | respawn (restart the "
        "node after 1 s, then 2 s, up to 30 s) | ignore (the other nodes continue). Empty: ignore if another "
        "launch file includes this one, else shutdown",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="",
        choices=("", *BOOLEANS),
        description="Deprecated: true is on_exit:=respawn, false is on_exit:=shutdown",
    ),
)

CAMERA_ARGUMENTS = (
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="Device of the camera driver (docs/cameras.md): /dev/video2, a serial number, an address, a "
        "file; short form: source:=<driver>:<device>. Empty: the driver's default",
    ),
    DeclareLaunchArgument(
        "width", default_value="", description="Width of the images in pixels; empty: the driver's default"
    ),
    DeclareLaunchArgument(
        "height", default_value="", description="Height of the images in pixels; empty: the driver's default"
    ),
    DeclareLaunchArgument(
        "fps",
        default_value="",
        description="Images per second; empty: the default of the driver or file",
    ),
    DeclareLaunchArgument(
        "pipeline",
        default_value="",
        description="For gscam: csi | rtsp | rtsp_hardware | v4l2, or a GStreamer pipeline without a sink; "
        "for source:=gstreamer: a GStreamer pipeline for OpenCV",
    ),
    DeclareLaunchArgument(
        "frame_id",
        default_value="",
        description="frame_id of the images; empty: as in params_file, else the full name of the node, e.g. "
        "front/camera with namespace:=front",
    ),
    DeclareLaunchArgument(
        "calibration",
        default_value="",
        description="YAML file of camera_calibration, published as camera_info; empty: no calibration",
    ),
    DeclareLaunchArgument(
        "loop",
        default_value="",
        choices=("", *BOOLEANS),
        description="Repeat files and bags; empty: files as in params_file, bags play once",
    ),
    DeclareLaunchArgument(
        "wait_for_source",
        default_value="",
        choices=("", *BOOLEANS),
        description="If a webcam, network stream or gstreamer source cannot be opened at the start: true (try "
        "again until it can) | false (end with the reason); empty: as in params_file, else true",
    ),
)


@dataclass(frozen=True)
class CameraRequest:
    """Launch arguments of a camera; None or an empty string where an argument is not given.

    Attributes:
        source: Source of our camera node.
        image_topic: Topic for the images.
        namespace: Namespace of the node and of relative topics.
        params_file: YAML file with the parameters of the nodes.
        log_level: Level of the node's logger.
        on_exit: Action after the node ends: shutdown, respawn or ignore.
        device: Device name, in the driver's format.
        width: Image width in pixels.
        height: Image height in pixels.
        fps: Images per second.
        pipeline: GStreamer pipeline, or the name of one of gscam.launch.py.
        frame_id: Frame id of the images.
        calibration: YAML file of camera_calibration.
        loop: Whether files and bags repeat.
        detector: Name of the detector node that the launch starts; empty: none.
        wait_for_source: Whether our camera node waits for a source that cannot be opened at the start.
    """

    source: str
    image_topic: str
    namespace: str
    params_file: Path
    log_level: str
    on_exit: str
    device: str
    width: int | None
    height: int | None
    fps: float | None
    pipeline: str
    frame_id: str
    calibration: Path | None
    loop: bool | None
    wait_for_source: bool | None
    detector: str

    @classmethod
    def from_context(cls, context: LaunchContext, on_exit: str = "") -> CameraRequest:
        """Read and check the launch arguments.

        Args:
            context: Context with the launch arguments.
            on_exit: Action after the node ends; empty: by the launch arguments.

        Raises:
            ValueError: An argument is wrong; the message begins with its name.
        """
        text = {a.name: argument_value(context, a.name) for a in (*NODE_ARGUMENTS, *CAMERA_ARGUMENTS)}
        return cls(
            source=context.launch_configurations.get("source", ""),
            image_topic=text["image_topic"],
            namespace=full_namespace(context),
            params_file=existing_file("params_file", text["params_file"]),
            log_level=text["log_level"],
            on_exit=on_exit or exit_action(context, *(share_folder() / "launch").rglob("*.launch.py")),
            device=text["device"],
            width=_side("width", text["width"]),
            height=_side("height", text["height"]),
            fps=_rate(text["fps"]),
            pipeline=text["pipeline"],
            frame_id=text["frame_id"],
            calibration=existing_file("calibration", text["calibration"]) if text["calibration"] else None,
            loop=_truth(text["loop"]),
            wait_for_source=_truth(text["wait_for_source"]),
            detector=context.launch_configurations.get("detector_name", ""),
        )

    @property
    def calibration_url(self) -> str | None:
        """URL of the calibration file for camera_info_manager."""
        return None if self.calibration is None else self.calibration.as_uri()

    @property
    def size(self) -> tuple[int, int] | None:
        """Image width and height in pixels.

        Raises:
            ValueError: Only one of the two is given.
        """
        if self.width is None and self.height is None:
            return None
        if self.width is None or self.height is None:
            raise ValueError("width and height: found one of them, expected both or none for this driver")
        return self.width, self.height

    def refuse_unsupported(self, driver: str, taken: Sequence[str]) -> None:
        """Refuse arguments that the driver does not support.

        Args:
            driver: Name of the driver's package.
            taken: Names of the arguments that the driver supports.

        Raises:
            ValueError: The driver does not support an argument; the message lists those that it supports.
        """
        for argument in CAMERA_ARGUMENTS:
            if getattr(self, argument.name) not in (None, "") and argument.name not in taken:
                raise ValueError(
                    f"{argument.name}: {driver} does not take it, only {', '.join(taken) or 'nothing'}; "
                    "set other parameters of the driver in params_file"
                )


def argument_value(context: LaunchContext, argument: str) -> str:
    """Return the value of a launch argument, or its default."""
    text: str = LaunchConfiguration(argument).perform(context)
    return text


def full_namespace(context: LaunchContext) -> str:
    """Return the argument `namespace`, below the namespace that an including launch file has pushed."""
    around: str | None = context.launch_configurations.get("ros_namespace")
    return prefix_namespace(around, argument_value(context, "namespace")) or ""


def exit_action(context: LaunchContext, *launch_files: Path) -> str:
    """Return the value of `on_exit`: shutdown, respawn or ignore.

    Args:
        context: Context with the launch arguments.
        launch_files: Our launch files; if the command line names none of them, another file includes ours.

    Raises:
        ValueError: Both `on_exit` and its deprecated alias `respawn` are given.
    """
    on_exit, respawn = argument_value(context, "on_exit"), argument_value(context, "respawn")
    if respawn and on_exit:
        raise ValueError(f"respawn: found '{respawn}' beside on_exit:={on_exit}, expected only on_exit")
    if respawn:
        on_exit = "respawn" if respawn == "true" else "shutdown"
        get_logger("launch.user").warning(f"respawn:={respawn} is deprecated: use on_exit:={on_exit}")
    return on_exit or ("shutdown" if any(map(_on_command_line, launch_files)) else "ignore")


def number(argument: str, text: str) -> float:
    """Parse a launch argument as a number."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{argument}: found '{text}', expected a number") from None


def existing_file(argument: str, text: str) -> Path:
    """Return the absolute path of an existing YAML file."""
    path = Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() follows links
    if not path.is_file():
        raise ValueError(f"{argument}: found no file {text}, expected a YAML file")
    return path


def _truth(text: str) -> bool | None:
    return text == "true" if text else None


def _side(argument: str, text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= LARGEST_SIDE:
        raise ValueError(f"{argument}: found '{text}', expected whole pixels from 1 to {LARGEST_SIDE}")
    return int(text)


def _rate(text: str) -> float | None:
    if not text:
        return None
    rate = number("fps", text)
    if not 0 < rate <= 1000:
        raise ValueError(f"fps: found '{text}', expected more than 0 and at most 1000 images a second")
    return rate


def refuse_unknown_arguments(launch_file: Path, declared: Sequence[DeclareLaunchArgument]) -> None:
    """Refuse unknown arguments of `ros2 launch`, which ROS ignores silently.

    If another launch file, even one with an equal name, includes ours, the command line holds the other file's
    arguments and is not checked.

    Raises:
        ValueError: An argument is unknown; the message names similar ones.
    """
    if not _on_command_line(launch_file):
        return
    names = [argument.name for argument in declared]
    for word in sys.argv:
        name, separator, _ = word.partition(":=")
        if separator and name not in names:
            near = get_close_matches(name, names)
            expected = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}"
            raise ValueError(f"{name}: {launch_file.name} has no such argument, {expected}")


def _on_command_line(launch_file: Path) -> bool:
    """Return whether the command line names this file, as `trt_ssd_ros <name>` or by its path."""
    named = ("trt_ssd_ros", launch_file.name) in pairwise(sys.argv)
    same_names = [Path(word) for word in sys.argv if Path(word).name == launch_file.name]
    return named or any(path.exists() and path.samefile(launch_file) for path in same_names)
