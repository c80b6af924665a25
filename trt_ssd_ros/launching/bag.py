"""Bag: finds the image topic of a bag, and starts a player once a node subscribes.

python -m trt_ssd_ros.launching.bag TOPIC NODE COMMAND [ARGUMENT ...]

NODE is the full name of the node that must subscribe; `any` stands for any node.
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
    """Topics of a bag that are played.

    Attributes:
        path: Folder of the bag.
        image: Image topic.
        info: Topic of the images' camera_info; empty if the bag has none.
    """

    path: Path
    image: str
    info: str


def read_bag_topics(bag: str, wanted: str) -> BagTopics:
    """Find the image topic of a bag: its only one, or `wanted` among several.

    Args:
        bag: Folder of a bag, with a metadata.yaml, as `ros2 bag record` writes it.
        wanted: Full name of the topic to choose among several.

    Raises:
        ValueError: The folder is not a bag, or the choice is ambiguous; the message lists the image topics.
    """
    path = Path(bag).expanduser()
    if not bag or not (path / METADATA).is_file():
        raise ValueError(f"bag: found no {METADATA} in '{bag}', expected the folder of a bag: source:=bag:<path>")
    types = _topic_types(path / METADATA)
    images = [name for name, kind in types.items() if kind == IMAGE]
    if len(images) != 1 and wanted not in images:
        raise ValueError(
            f"bag: {bag} has {_listed(types)}, expected one topic of images, or image_topic ({wanted}) among them"
        )
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
POLL_PERIOD = 0.05
"""Seconds between two checks for subscribers."""


def await_subscriber(topic: str, name: str = ANY) -> bool:
    """Wait until a node subscribes to a topic.

    Returns:
        Whether the node has subscribed; false if ROS was shut down first.
    """
    rclpy.init(args=[])
    node = rclpy.create_node("await_subscriber")
    try:
        if not _subscribes(node, topic, name):
            awaited = "any node" if name == ANY else name
            node.get_logger().info(f"waiting for {awaited} to subscribe to {topic}")
        while rclpy.ok() and not _subscribes(node, topic, name):
            sleep(POLL_PERIOD)
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
    """Wait for the subscriber, then replace this process by the command."""
    topic, name, *command = sys.argv[1:] if args is None else args
    if not await_subscriber(topic, name):
        return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - runs the caller's command without a shell
    except OSError as error:
        print(f"await_subscriber: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
