"""Wait until somebody subscribes to a topic, then become another command, as a player that starts at once.

python -m trt_ssd_ros.ros.await_subscriber TOPIC COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from time import sleep

import rclpy

POLL = 0.05
"""Seconds between two looks."""


def await_subscriber(topic: str) -> bool:
    """Wait; return whether somebody subscribed, rather than that ROS was shut down."""
    rclpy.init(args=[])
    node = rclpy.create_node("await_subscriber")
    try:
        if node.count_subscribers(topic) == 0:
            node.get_logger().info(f"waiting for a subscriber of {topic}")
        while rclpy.ok() and node.count_subscribers(topic) == 0:
            sleep(POLL)
        there = rclpy.ok()
    except KeyboardInterrupt:
        there = False
    node.destroy_node()
    rclpy.try_shutdown()
    return there


def main(args: Sequence[str] | None = None) -> int:
    """Wait, then become the command."""
    topic, *command = sys.argv[1:] if args is None else args
    if not await_subscriber(topic):
        return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - the caller's own words, no shell
    except OSError as error:
        print(f"await_subscriber: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
