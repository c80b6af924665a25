"""Bags of ROS messages, in rosbag2's format."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import serialize_message
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

NEVER = QosTime(2147483647, 4294967295)


def write_messages(path: Path, recorded: Iterable[tuple[str, Any, int]], latched: Collection[str] = ()) -> Path:
    """Write a bag.

    Args:
        path: Folder of the bag.
        recorded: Topic, message and time of arrival in ns of each message.
        latched: Topics whose publishers are transient local.
    """
    types = known_types()
    with Writer(path, version=9) as writer:
        connections = {}
        for topic, message, stamp in recorded:
            kind = f"{type(message).__module__.partition('.')[0]}/msg/{type(message).__name__}"
            if topic not in connections:
                qos = [_offered(QosDurability.TRANSIENT_LOCAL if topic in latched else QosDurability.VOLATILE)]
                connections[topic] = writer.add_connection(topic, kind, typestore=types, offered_qos_profiles=qos)
            writer.write(connections[topic], stamp, serialize_message(message))
    return path


def known_types() -> Typestore:
    """Return the message types of Jazzy and of vision_msgs."""
    types = get_typestore(Stores.ROS2_JAZZY)
    for path in Path(get_package_share_directory("vision_msgs"), "msg").glob("*.msg"):
        types.register(get_types_from_msg(path.read_text(), f"vision_msgs/msg/{path.stem}"))
    return types


def _offered(durability: QosDurability) -> Qos:
    history, reliability, liveliness = QosHistory.KEEP_LAST, QosReliability.RELIABLE, QosLiveliness.AUTOMATIC
    return Qos(history, 10, reliability, durability, NEVER, NEVER, liveliness, NEVER, False)
