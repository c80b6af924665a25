"""Names the topics for which the other examples wait, and others of the same type."""

import sys

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

PERIOD = 3.0
"""Seconds between two looks; until the first one, the node discovers the other nodes."""


def name_missing_topics(node: Node) -> None:
    """Print the topics of the node's subscriptions that no node publishes, and again if what is there changes."""
    printed = set()

    def look() -> None:
        types = dict(node.get_topic_names_and_types())
        published = [name for name in types if node.count_publishers(name)]
        for topic in [subscription.topic_name for subscription in node.subscriptions]:
            others = [name for name in published if types[name] == types.get(topic)]
            line = f"waiting for {topic}, which no node publishes"
            if others:
                line += f"; found {', '.join(others)}: choose with --ros-args -r {topic}:={others[0]}"
            if topic not in published and line not in printed:
                print(line, file=sys.stderr, flush=True)
                printed.add(line)

    node.create_timer(PERIOD, look, clock=Clock(clock_type=ClockType.STEADY_TIME))  # ROS time may stand still
