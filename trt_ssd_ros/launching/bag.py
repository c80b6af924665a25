"""Which of a bag's topics are to be looked at, by the bag's own metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join
from typing import Any

import yaml

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
