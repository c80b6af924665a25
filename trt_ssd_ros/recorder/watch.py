"""Watch of a running detector: one line per image, with its time, its latency and its detections."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.utilities import remove_ros_args
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.errors import INTERRUPTED, discard_stdout, one_line
from trt_ssd_ros.node.messages import nanoseconds
from trt_ssd_ros.recorder.detectors import find
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.version import add_version

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


def watch(topic: str, once: bool) -> int:
    """Print the detections of a detector until an interrupt, and return the exit code; see `find`."""
    node = None
    with ros_context() as ros:
        node = ros.add(WatchNode())
        detector = find(node, ros.executor, topic)
        print(f"watching {detector}", file=sys.stderr)
        node.follow(detector.topic)
        while rclpy.ok() and not (once and node.images):
            ros.executor.spin_once(timeout_sec=0.2)
    return INTERRUPTED if once and not (node and node.images) else 0


def main(args: Sequence[str] | None = None) -> int:
    """Run the watch from the command line."""
    parser = argparse.ArgumentParser(prog="watch", description=__doc__)
    add_version(parser)
    parser.add_argument("--topic", default="", help="topic of the detections (default: that of the only detector)")
    parser.add_argument("--once", action="store_true", help="end after one image")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        return watch(options.topic, options.once)
    except BrokenPipeError:  # the reader closed the pipe
        discard_stdout()
    except RuntimeError as error:
        print(f"watch: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
