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
        topics = [subscription.topic_name for subscription in node.subscriptions]
        free = [name for name in published if name not in topics]
        for topic in topics:
            if topic in published:
                continue
            others = [name for name in published if types[name] == types.get(topic)]
            line = f"waiting for {topic}, which no node publishes"
            if others:
                choice = next((name for name in others if name in free), others[0])
                free = [name for name in free if name != choice]  # another topic needs another choice
                line += f"; found {', '.join(others)}: choose with --ros-args -r {topic}:={choice}"
            if line not in printed:
                print(line, file=sys.stderr, flush=True)
                printed.add(line)

    node.create_timer(PERIOD, look, clock=Clock(clock_type=ClockType.STEADY_TIME))  # ROS time may stand still
