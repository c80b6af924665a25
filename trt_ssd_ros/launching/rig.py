"""Rig: the cameras of one detector, from the launch arguments `source` or `cameras`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import join

from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.launching.arguments import CAMERA_ARGUMENTS, DEFAULT_TOPIC, CameraRequest
from trt_ssd_ros.launching.names import OUTPUT_TOPICS, TOPIC_NAME
from trt_ssd_ros.launching.sources import LaunchSource
from trt_ssd_ros.ros.parameters import check_camera_names

FORM = "NAME=SOURCE, e.g. front=usb_cam:/dev/video0"
IN_FILE = "it in params_file, under /**/NAME/camera and with the driver's own name"
BESIDE_CAMERAS = {
    "source": "only one of them",
    "image_topic": "NAME=topic:TOPIC in cameras",
    "device": "NAME=DRIVER:DEVICE in cameras",
    "pipeline": "NAME=gstreamer in cameras, and in params_file `source: gstreamer:PIPELINE` under /**/NAME/camera",
    "frame_id": IN_FILE,
    "calibration": IN_FILE,
}
"""Launch arguments that hold for one camera, and what several cameras take instead."""
OWN_ONLY = ("loop", "wait_for_source")
"""Launch arguments that, of several cameras, only our own camera nodes get."""


@dataclass(frozen=True)
class RigCamera:
    """One camera of the detector.

    Attributes:
        name: Name of the camera; empty: the detector's only camera.
        source: Origin of its images.
        topic: Topic of its images, relative to the namespace of the detector.
    """

    name: str
    source: LaunchSource
    topic: str

    @property
    def prefix(self) -> str:
        """Beginning of the names of the camera's topics at the detector."""
        return f"{self.name}/" if self.name else ""

    def include_arguments(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """Return the arguments of the camera's launch file that differ from those of this launch."""
        given = {"device": self.source.target or arguments["device"], "on_exit": arguments["on_exit"]}
        if self.name:
            given |= {"namespace": join(arguments["namespace"], self.name), "source": self.source.text}
        if self.name and self.source.kind != "own":
            given |= dict.fromkeys(OWN_ONLY, "")
        return given

    def request(self, launch: CameraRequest) -> CameraRequest:
        """Return the request for the camera's node, from the request of the launch."""
        if not self.name:
            return launch
        return replace(launch, source=self.source.text, namespace=join(launch.namespace, self.name))


def read_rig(arguments: Mapping[str, str]) -> list[RigCamera]:
    """Return the cameras of the detector.

    Args:
        arguments: Launch arguments by their names.

    Raises:
        ValueError: An argument is wrong, or does not fit the cameras; the message begins with its name.
    """
    if arguments["cameras"].strip():
        _refuse_beside_cameras(arguments)
        cameras = parse_cameras(arguments["cameras"])
    else:
        cameras = [_only_camera(arguments)]
    _refuse_unused(arguments, cameras)
    return cameras


def parse_cameras(text: str) -> list[RigCamera]:
    """Parse the argument `cameras`: words NAME=SOURCE, separated by spaces and quoted as in a shell.

    Raises:
        ValueError: A word is wrong, or a name is there twice.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        found = without_password(text)
        raise ValueError(
            f"cameras: found a quotation mark without its end in '{found}', expected {FORM}"
        ) from error
    pairs = [word.partition("=") for word in words]
    for name, _, source in pairs:
        if not source:
            raise ValueError(f"cameras: found '{without_password(name)}' without a source, expected {FORM}")
    check_camera_names([without_password(name) for name, _, _ in pairs])
    return [_camera(name, source) for name, _, source in pairs]


def output_topics(cameras: Sequence[RigCamera]) -> list[str]:
    """Return the detector's topics that `remap` renames: one label_info, the others of each camera."""
    own = [topic for topic in OUTPUT_TOPICS if topic != "label_info"]
    return sorted({"label_info", *(f"{camera.prefix}{topic}" for camera in cameras for topic in own)})


def _camera(name: str, text: str) -> RigCamera:
    if text.startswith("gstreamer:"):
        raise ValueError(
            f"cameras: found a pipeline for {name}, expected {name}=gstreamer, and in params_file "
            f"`source: gstreamer:PIPELINE` under /**/{name}/camera"
        )
    source = LaunchSource.parse(f"cameras: {name}", text)
    if source.kind == "bag":
        raise ValueError(
            f"cameras: found {name}={source.shown}, but the clock of a bag holds for all cameras: play it with "
            f"`ros2 bag play --clock`, give {name}=topic:TOPIC, and set use_sim_time in params_file"
        )
    if source.kind != "topic":
        return RigCamera(name, source, f"{name}/{DEFAULT_TOPIC}")
    if not re.fullmatch(TOPIC_NAME, source.target):
        raise ValueError(
            f"cameras: found {name}={text}, expected the name of a topic, e.g. {name}=topic:/cam3/image_raw"
        )
    return RigCamera(name, source, source.target)


def _only_camera(arguments: Mapping[str, str]) -> RigCamera:
    source = LaunchSource.parse("source", arguments["source"])
    if source.kind == "topic" and source.target:
        raise ValueError(f"source: found '{source.text}', expected image_topic:={source.target}")
    if source.target and arguments["device"]:
        raise ValueError(
            f"device: found '{without_password(arguments['device'])}' beside source:={source.shown}, "
            "expected only one of them"
        )
    return RigCamera("", source, arguments["image_topic"])


def _refuse_beside_cameras(arguments: Mapping[str, str]) -> None:
    """Refuse arguments of one camera beside `cameras`."""
    defaults = {"source": "topic", "image_topic": DEFAULT_TOPIC}
    for name, expected in BESIDE_CAMERAS.items():
        if arguments[name] != defaults.get(name, ""):
            raise ValueError(
                f"{name}: found '{without_password(arguments[name])}' beside cameras, expected {expected}"
            )


def _refuse_unused(arguments: Mapping[str, str], cameras: Sequence[RigCamera]) -> None:
    """Refuse camera arguments if no camera gets them."""
    started = any(camera.source.kind != "topic" for camera in cameras)
    own = any(camera.source.kind == "own" for camera in cameras)
    for name in (argument.name for argument in CAMERA_ARGUMENTS):
        found = f"{name}: found '{without_password(arguments[name])}'"
        if arguments[name] and not started:
            topics = "topics only in cameras" if cameras[0].name else "source:=topic"
            raise ValueError(f"{found} with {topics}, expected a source that this launch file starts")
        if arguments[name] and name in OWN_ONLY and cameras[0].name and not own:
            raise ValueError(
                f"{found} with drivers and topics in cameras, expected it for our own camera node only"
            )
