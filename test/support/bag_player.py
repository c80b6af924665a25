"""Stands in for rosbag2's `ros2 bag play`: its options, a real bag, real publishers with its QoS, and a clock.

Imported by ros2cli through an entry point that the test makes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros2cli.command import CommandExtension
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, QosDurability
from rosgraph_msgs.msg import Clock
from rosidl_runtime_py.utilities import get_message

VIEWERS = 2
"""The detector and the test, or an example and the test."""


def offered(connection: Connection) -> QoSProfile:
    """Return the quality of service with which the topic was recorded, as far as durability goes."""
    latched = any(qos.durability is QosDurability.TRANSIENT_LOCAL for qos in connection.ext.offered_qos_profiles)
    durability = QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE
    return QoSProfile(depth=10, durability=durability)


class BagCommand(CommandExtension):
    """The command `bag`, of which there is only `play`."""

    def add_arguments(self, parser: Any, cli_name: str) -> None:  # noqa: ARG002
        """Declare what the launch file uses."""
        parser.add_argument("verb", choices=["play"])
        parser.add_argument("bag", type=Path)
        parser.add_argument("--clock", nargs="?", type=float, const=40.0)
        parser.add_argument("--delay", type=float, default=0.0)
        parser.add_argument("--topics", nargs="+")
        parser.add_argument("--remap", nargs="+", default=[])
        parser.add_argument("--loop", action="store_true")

    def main(self, *, parser: Any, args: Any) -> int:  # noqa: ARG002
        """Play it once."""
        names = dict(rule.split(":=") for rule in args.remap)
        rclpy.init(args=[])
        node = rclpy.create_node("rosbag2_player")
        clock = node.create_publisher(Clock, "/clock", 10)
        with AnyReader([args.bag]) as reader:
            connections = [c for c in reader.connections if c.topic in args.topics]
            publishers = {
                c.topic: node.create_publisher(get_message(c.msgtype), names.get(c.topic, c.topic), offered(c))
                for c in connections
            }
            time.sleep(args.delay)
            while publishers[args.topics[0]].get_subscription_count() < VIEWERS:
                time.sleep(0.02)  # on a busy machine discovery takes longer
            previous = None
            for connection, stamp, data in reader.messages(connections):
                time.sleep(0 if previous is None else (stamp - previous) / 1e9)
                previous = stamp
                now = Clock()
                now.clock.sec, now.clock.nanosec = divmod(stamp, 10**9)
                clock.publish(now)
                publishers[connection.topic].publish(bytes(data))
        time.sleep(0.5)
        rclpy.shutdown()
        return 0
