"""Watch of a running detector: one line per image, with its time, its latency and its detections."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import rclpy
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.utilities import remove_ros_args
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.errors import INTERRUPTED, one_line
from trt_ssd_ros.node.messages import nanoseconds
from trt_ssd_ros.recorder.recorder_node import STARTUP_SECONDS, UNKNOWN_NODE
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.version import add_version

TYPE = "vision_msgs/msg/Detection2DArray"
DISCOVERY_SECONDS = 2.0
"""Time in which the other detectors are discovered after the first one; no event marks the end of discovery."""
EVERY_PUBLISHER = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT)
"""Best effort matches reliable and best-effort publishers."""


class WatchNode(Node):
    """Node that prints the detections of one topic.

    Attributes:
        images: Number of printed images.
    """

    def __init__(self) -> None:
        super().__init__("watch")
        self.images = 0

    def detectors(self) -> dict[str, list[str]]:
        """Return the topics with published detections, and the full names of the nodes that publish them."""
        topics = [name for name, types in self.get_topic_names_and_types() if TYPE in types]
        publishers = {topic: self.publishers_of(topic) for topic in sorted(topics)}
        return {topic: nodes for topic, nodes in publishers.items() if nodes}

    def publishers_of(self, topic: str) -> list[str]:
        """Return the full names of the discovered nodes that publish detections on a topic."""
        infos = self.get_publishers_info_by_topic(topic)
        known = (info for info in infos if info.topic_type == TYPE and info.node_name != UNKNOWN_NODE)
        return sorted(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in known)

    def follow(self, topic: str) -> None:
        """Print each message of a topic from now on."""
        self.create_subscription(Detection2DArray, topic, self._print, EVERY_PUBLISHER)

    def _print(self, message: Detection2DArray) -> None:
        self.images += 1
        print(line(message, self.get_clock().now().nanoseconds), flush=True)


def line(message: Detection2DArray, now: int) -> str:
    """Return the line of one image.

    Args:
        message: Detections of the image.
        now: Time of arrival in ns.
    """
    stamp = nanoseconds(message.header.stamp)
    time = datetime.fromtimestamp((stamp or now) / 1e9).astimezone()
    latency = f"{(now - stamp) / 1e6:6.0f} ms" if stamp else "no stamp "
    seen = ", ".join(map(_described, message.detections)) or "no detections"
    return f"{time:%H:%M:%S}.{time.microsecond // 1000:03d} {latency}  {seen}"


def _described(detection: Detection2D) -> str:
    best = max((result.hypothesis for result in detection.results), key=lambda found: found.score, default=None)
    return "unknown" if best is None else f"{best.class_id} {best.score:.2f}"


def choose(detectors: Mapping[str, Sequence[str]]) -> str:
    """Return the only topic with detections.

    Raises:
        RuntimeError: There is none, or there are several topics or several publishers.
    """
    if not detectors:
        raise RuntimeError(f"no node publishes {TYPE}: start a detector, or check ROS_DOMAIN_ID")
    listed = "; ".join(f"{topic} of {', '.join(nodes)}" for topic, nodes in detectors.items())
    if len(detectors) > 1:
        raise RuntimeError(f"several topics have detections ({listed}): choose one with --topic")
    [(topic, nodes)] = detectors.items()
    if len(nodes) > 1:
        raise RuntimeError(
            f"{topic} has several publishers ({', '.join(nodes)}): give each detector its own topic"
        )
    return topic


def find(node: WatchNode, executor: Executor, topic: str) -> str:
    """Wait for a detector, and return its topic.

    Args:
        node: Node that reads the graph.
        executor: Executor of the node.
        topic: Full name of the only acceptable topic; empty: the only topic there is.

    Raises:
        RuntimeError: There is no detector in STARTUP_SECONDS, or the choice is ambiguous.
    """

    def found() -> dict[str, list[str]]:
        return {name: nodes for name, nodes in node.detectors().items() if topic in ("", name)}

    def wait(seconds: float, happened: Callable[[], object]) -> None:
        start = node.get_clock().now()
        while not happened() and (node.get_clock().now() - start).nanoseconds < seconds * 1e9:
            executor.spin_once(timeout_sec=0.1)

    wait(STARTUP_SECONDS, found)
    if topic and not found():
        others = "; ".join(node.detectors()) or "none"
        raise RuntimeError(f"no node publishes {TYPE} on {topic}; topics that have a publisher: {others}")
    wait(DISCOVERY_SECONDS, lambda: len(found()) > 1)
    return choose(found())


def watch(topic: str, once: bool) -> int:
    """Print the detections of a detector until an interrupt, and return the exit code; see `find`."""
    node = None
    with ros_context() as ros:
        node = ros.add(WatchNode())
        name = find(node, ros.executor, node.resolve_topic_name(topic) if topic else "")
        print(f"{name} of {', '.join(node.publishers_of(name))}", file=sys.stderr)
        node.follow(name)
        while rclpy.ok() and not (once and node.images):
            ros.executor.spin_once(timeout_sec=0.2)
    return INTERRUPTED if once and not (node and node.images) else 0


def main(args: Sequence[str] | None = None) -> int:
    """Run the watch from the command line."""
    parser = argparse.ArgumentParser(prog="watch", description=__doc__)
    add_version(parser)
    parser.add_argument("--topic", default="", help="topic of the detections (default: the only one there is)")
    parser.add_argument("--once", action="store_true", help="end after one image")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        return watch(options.topic, options.once)
    except BrokenPipeError:  # the reader closed the pipe; Python would fail again when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except RuntimeError as error:
        print(f"watch: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
