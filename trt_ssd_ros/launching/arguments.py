"""Launch arguments that the launch files share, declared once; unknown and wrong ones get one clear error."""

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
from launch.substitutions import LaunchConfiguration
from launch_ros.utilities import prefix_namespace

from trt_ssd_ros.files import share_folder

BOOLEANS = ("true", "false")
LOG_LEVELS = ("debug", "info", "warn", "error")
LARGEST_SIDE = 65535
OWN_SOURCES = (
    "demo (photos of this package) | file:<path of an image, a folder or a video> | webcam:<number> | "
    "the address of a stream, as rtsp://... | gstreamer, with a pipeline"
)

NODE_ARGUMENTS = (
    DeclareLaunchArgument(
        "image_topic",
        default_value="image_raw",
        description="Topic of the images, read or, with a source, published",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes and relative topics"),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(share_folder() / "config" / "detect.yaml"),
        description="YAML file with the nodes' parameters; those of any camera's driver are under /**/camera",
    ),
    DeclareLaunchArgument(
        "log_level", default_value="info", choices=LOG_LEVELS, description="Log level of the nodes"
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=BOOLEANS,
        description="Start a node that ends (as when the GPU is lost) again, after 2 s; false: end the launch",
    ),
)

CAMERA_ARGUMENTS = (
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="Which camera, as its driver wants it (docs/cameras.md): /dev/video2, a serial number, an "
        "address, a file; source:=<driver>:<device> is short for it. Empty: the driver's default",
    ),
    DeclareLaunchArgument(
        "width", default_value="", description="Width of the images in pixels; empty: the driver's default"
    ),
    DeclareLaunchArgument(
        "height", default_value="", description="Height of the images in pixels; empty: the driver's default"
    ),
    DeclareLaunchArgument(
        "fps", default_value="", description="Images a second; empty: the driver's default, or the file's own rate"
    ),
    DeclareLaunchArgument(
        "pipeline",
        default_value="",
        description="For gscam: csi | rtsp | rtsp_hardware | v4l2, or a GStreamer pipeline without a sink; "
        "for source:=gstreamer a pipeline for OpenCV",
    ),
    DeclareLaunchArgument(
        "frame_id", default_value="", description="frame_id of the images; empty: as in params_file"
    ),
    DeclareLaunchArgument(
        "calibration",
        default_value="",
        description="YAML file of camera_calibration, published as camera_info; empty: none",
    ),
    DeclareLaunchArgument(
        "loop",
        default_value="",
        choices=("", *BOOLEANS),
        description="Start files and bags again at their end; empty: as in params_file, bags not",
    ),
)


@dataclass(frozen=True)
class CameraRequest:
    """What the arguments ask of a camera; None or an empty text: nothing.

    Attributes:
        source: Of our own camera node.
        image_topic: Where its images belong.
        namespace: Of its node and of relative topics.
        params_file: YAML file with parameters.
        log_level: Of its node's logger.
        respawn: Whether it is started again when it ends.
        device: Which camera.
        width: Pixels.
        height: Pixels.
        fps: Images a second.
        pipeline: Of GStreamer.
        frame_id: Of the images.
        calibration: YAML file of camera_calibration.
        loop: Whether a file starts again at its end.
    """

    source: str
    image_topic: str
    namespace: str
    params_file: Path
    log_level: str
    respawn: bool
    device: str
    width: int | None
    height: int | None
    fps: float | None
    pipeline: str
    frame_id: str
    calibration: Path | None
    loop: bool | None

    @classmethod
    def of(cls, context: LaunchContext) -> CameraRequest:
        """Read the arguments.

        Raises:
            ValueError: One of them is wrong; begins with its name.
        """
        text = {a.name: chosen(context, a.name) for a in (*NODE_ARGUMENTS, *CAMERA_ARGUMENTS)}
        return cls(
            source=context.launch_configurations.get("source", ""),
            image_topic=text["image_topic"],
            namespace=full_namespace(context),
            params_file=existing_file("params_file", text["params_file"]),
            log_level=text["log_level"],
            respawn=text["respawn"] == "true",
            device=text["device"],
            width=_side("width", text["width"]),
            height=_side("height", text["height"]),
            fps=_rate(text["fps"]),
            pipeline=text["pipeline"],
            frame_id=text["frame_id"],
            calibration=existing_file("calibration", text["calibration"]) if text["calibration"] else None,
            loop=text["loop"] == "true" if text["loop"] else None,
        )

    @property
    def calibration_url(self) -> str | None:
        """The calibration as camera_info_manager wants it."""
        return None if self.calibration is None else self.calibration.as_uri()

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height.

        Raises:
            ValueError: There is one without the other.
        """
        if self.width is None and self.height is None:
            return None
        if self.width is None or self.height is None:
            raise ValueError("width and height: found one of them, expected both or none for this camera")
        return self.width, self.height

    def refuse_all_but(self, driver: str, taken: Sequence[str]) -> None:
        """Refuse what is asked of a camera that cannot do it.

        Raises:
            ValueError: Says what it takes.
        """
        for argument in CAMERA_ARGUMENTS:
            if getattr(self, argument.name) not in (None, "") and argument.name not in taken:
                raise ValueError(
                    f"{argument.name}: {driver} does not take it, only {', '.join(taken) or 'nothing'}; "
                    "its own parameters go into params_file"
                )


def chosen(context: LaunchContext, argument: str) -> str:
    """Return what was given for an argument, or its default."""
    text: str = LaunchConfiguration(argument).perform(context)
    return text


def full_namespace(context: LaunchContext) -> str:
    """Return the namespace that is asked for, below the one into which a launch file around ours has pushed us."""
    around: str | None = context.launch_configurations.get("ros_namespace")
    return prefix_namespace(around, chosen(context, "namespace")) or ""


def number(argument: str, text: str) -> float:
    """Read a number from a launch argument."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{argument}: found '{text}', expected a number") from None


def existing_file(argument: str, text: str) -> Path:
    """Return the full path of a YAML file."""
    path = Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() would follow links
    if not path.is_file():
        raise ValueError(f"{argument}: found no file {text}, expected a YAML file")
    return path


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
