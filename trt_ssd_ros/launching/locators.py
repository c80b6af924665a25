"""Locators: the launch arguments `depth`, `depth_info` and `target_frame`, and a locator for each depth camera."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname, join

from launch_ros.actions import Node

from trt_ssd_ros.images.calibration import names_rectified
from trt_ssd_ros.launching.drivers import log_level, typed_parameter
from trt_ssd_ros.launching.exits import end_if_failed, exit_handler
from trt_ssd_ros.launching.names import TOPIC_NAME, absolute_name
from trt_ssd_ros.launching.rig import RigCamera

LOCATOR = "locator"
"""Name of the node; params_file gives its parameters under /**/locator."""
EXAMPLE = "/camera/depth/image_rect_raw"


@dataclass(frozen=True)
class DepthCamera:
    """Depth images beside a camera of the detector.

    Attributes:
        camera: Camera of the detector.
        topic: Topic of the depth images, relative to the namespace of the detector.
        info: Topic of their camera_info, relative to the namespace of the detector.
    """

    camera: RigCamera
    topic: str
    info: str

    def remappings(self, detector: str, detections: str) -> list[tuple[str, str]]:
        """Return the remappings of the locator's inputs, as full names: it may run in the camera's namespace.

        Args:
            detector: Full name of the detector.
            detections: Topic of the camera's detections, relative to the namespace of the detector.
        """
        inputs = {
            "detections": detections,
            "camera_info": beside(self.camera.topic),
            "depth/image": self.topic,
            "depth/camera_info": self.info,
        }
        return [(name, _resolved(detector, topic)) for name, topic in inputs.items()]


def _resolved(node: str, topic: str) -> str:
    """Return the full name of a topic of a node."""
    return join(node, topic[2:]) if topic.startswith("~/") else absolute_name(dirname(node), topic)


def beside(image_topic: str) -> str:
    """Return the topic of the camera_info of an image topic, raw or compressed (as in image_transport)."""
    return join(dirname(image_topic.removesuffix("/compressed")), "camera_info")


def read_depth(arguments: Mapping[str, str], rig: Sequence[RigCamera]) -> list[DepthCamera]:
    """Return the depth cameras of the launch arguments.

    Args:
        arguments: Launch arguments by their names.
        rig: Cameras of the detector.

    Raises:
        ValueError: An argument is wrong; the message begins with its name.
    """
    topics = _topics("depth", arguments["depth"], rig)
    infos = _topics("depth_info", arguments["depth_info"], rig)
    for name in ("depth_info", "target_frame"):
        if arguments[name] and not topics:
            raise ValueError(f"{name}: found '{arguments[name]}' without depth, expected depth:=TOPIC beside it")
    if topics and not rig[0].name and arguments["detector_name"] == LOCATOR:
        raise ValueError(f"detector_name: found '{LOCATOR}', the name of the locator: choose another name")
    for camera in infos.keys() - topics.keys():
        raise ValueError(f"depth_info: found {camera}={infos[camera]}, expected {camera}=TOPIC in depth, too")
    return [
        DepthCamera(camera, topics[camera.name], infos.get(camera.name, beside(topics[camera.name])))
        for camera in rig
        if camera.name in topics
    ]


def _topics(argument: str, text: str, rig: Sequence[RigCamera]) -> dict[str, str]:
    """Parse a topic, or with several cameras words NAME=TOPIC, into topics by the names of the cameras."""
    names = [camera.name for camera in rig]
    topics: dict[str, str] = {}
    for word in text.split():
        name, _, topic = word.rpartition("=")
        if name not in names or name in topics:
            cameras = f"NAME=TOPIC, once for each of {', '.join(names)}" if names[0] else "the name of one topic"
            example = f"{names[0]}=/{names[0]}/depth/image_rect_raw" if names[0] else EXAMPLE
            raise ValueError(f"{argument}: found '{word}', expected {cameras}, e.g. {argument}:={example}")
        if not re.fullmatch(TOPIC_NAME, topic) or topic.startswith("~"):
            raise ValueError(f"{argument}: found '{word}', expected the name of a topic, e.g. {EXAMPLE}")
        topics[name] = topic
    return topics


def locators(arguments: Mapping[str, str], depth: Sequence[DepthCamera], renamed: Mapping[str, str]) -> list[Node]:
    """Return a locator for each depth camera, in the namespace of the camera.

    Args:
        arguments: Launch arguments by their names.
        depth: Depth cameras.
        renamed: Topics of the detector with a new name, and that name.
    """
    return [_locator(arguments, camera, renamed) for camera in depth]


def _locator(arguments: Mapping[str, str], depth: DepthCamera, renamed: Mapping[str, str]) -> Node:
    camera = depth.camera
    namespace = join(arguments["namespace"], camera.name)
    detector = absolute_name(arguments["namespace"], arguments["detector_name"])
    detections = f"{camera.prefix}detections"
    settings: dict[str, object] = {"target_frame": arguments["target_frame"]} if arguments["target_frame"] else {}
    if names_rectified(camera.topic):
        settings["rectified"] = True
    if camera.source.kind == "bag":
        settings["use_sim_time"] = True  # because rosbag2's player publishes /clock
    parameters = [{name: typed_parameter(value) for name, value in settings.items()}] if settings else []
    return Node(
        package="trt_ssd_ros",
        executable="locator_node",
        name=LOCATOR,
        namespace=namespace,
        parameters=[arguments["params_file"], *parameters],
        remappings=depth.remappings(detector, renamed.get(detections, detections)),
        ros_arguments=log_level(namespace, LOCATOR, arguments["log_level"]),
        output="screen",
        on_exit=exit_handler(arguments["on_exit"], end_if_failed),
    )
