"""Bags: find a bag's topic of images, and start a player once a node subscribes.

python -m trt_ssd_ros.launching.bag TOPIC NODE COMMAND [ARGUMENT ...]

NODE is the full name of the node that has to subscribe; `any`: any.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join
from time import sleep
from typing import Any

import rclpy
import yaml
from rclpy.node import Node

from trt_ssd_ros.errors import one_line

METADATA = "metadata.yaml"
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
COMPRESSED = "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True)
class BagTopics:
    """What is played of a bag.

    Attributes:
        path: The bag's folder.
        image: Its topic of images.
        info: The topic of their camera_info; empty if it has none.
    """

    path: Path
    image: str
    info: str


def read_bag_topics(bag: str, wanted: str) -> BagTopics:
    """Find the images in a bag: its only topic of images, or among several the wanted one.

    Args:
        bag: Path of a bag as `ros2 bag record` makes it, a folder with a metadata.yaml.
        wanted: Full name of a topic.

    Raises:
        ValueError: It is no bag, or its topic of images is in doubt; says what it has.
    """
    path = Path(bag).expanduser()
    if not bag or not (path / METADATA).is_file():
        raise ValueError(f"bag: found no {METADATA} in '{bag}', expected the folder of a bag: source:=bag:<path>")
    types = _topic_types(path / METADATA)
    images = [name for name, kind in types.items() if kind == IMAGE]
    if len(images) != 1 and wanted not in images:
        raise ValueError(f"bag: {bag} has {_listed(types)}, expected one topic of images, or {wanted} among them")
    image = wanted if wanted in images else images[0]
    info = join(dirname(image), "camera_info")
    return BagTopics(path, image, info if types.get(info) == INFO else "")


def _topic_types(metadata: Path) -> dict[str, str]:
    try:
        content: Any = yaml.safe_load(metadata.read_text())
        entries = content["rosbag2_bagfile_information"]["topics_with_message_count"]
        return {entry["topic_metadata"]["name"]: entry["topic_metadata"]["type"] for entry in entries}
    except (KeyError, TypeError, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"bag: {metadata} cannot be read as the metadata of a bag: {one_line(error)}") from error


def _listed(types: dict[str, str]) -> str:
    images = sorted(name for name, kind in types.items() if kind in (IMAGE, COMPRESSED))
    return ", ".join(f"{name} ({types[name].rpartition('/')[2]})" for name in images) or "no topic of images"


ANY = "any"
POLL = 0.05
"""Seconds between two looks."""


def await_subscriber(topic: str, name: str = ANY) -> bool:
    """Wait for a node to subscribe; return whether it did, rather than that ROS was shut down."""
    rclpy.init(args=[])
    node = rclpy.create_node("await_subscriber")
    try:
        if not _subscribes(node, topic, name):
            node.get_logger().info(f"waiting for {name} to subscribe to {topic}")
        while rclpy.ok() and not _subscribes(node, topic, name):
            sleep(POLL)
        there = rclpy.ok()
    except KeyboardInterrupt:
        there = False
    node.destroy_node()
    rclpy.try_shutdown()
    return there


def _subscribes(node: Node, topic: str, name: str) -> bool:
    infos = node.get_subscriptions_info_by_topic(topic)
    names = {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos}
    return name in names or (name == ANY and bool(names))


def main(args: Sequence[str] | None = None) -> int:
    """Wait, then become the command."""
    topic, name, *command = sys.argv[1:] if args is None else args
    if not await_subscriber(topic, name):
        return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - the caller's own words, no shell
    except OSError as error:
        print(f"await_subscriber: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
