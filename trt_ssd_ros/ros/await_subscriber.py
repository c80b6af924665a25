"""Wait until somebody subscribes to a topic, then become another command, as a player that starts at once.

python -m trt_ssd_ros.ros.await_subscriber TOPIC NODE COMMAND [ARGUMENT ...]

NODE is the full name of the node that has to subscribe; `any`: any.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from time import sleep

import rclpy
from rclpy.node import Node

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
