"""Watch of a running detector: one line per image, with its time, its latency and its detections."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import rclpy
from rclpy.utilities import remove_ros_args
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.errors import BROKEN_PIPE, INTERRUPTED, discard_stdout, one_line
from trt_ssd_ros.recorder.detectors import Detector, find, other_detectors
from trt_ssd_ros.recorder.messages import DETECTIONS, best_hypothesis
from trt_ssd_ros.ros.process import FailableNode, ros_context
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.version import add_version

LOOK_SECONDS = 1.0
"""Time between two looks for other detectors."""


class WatchNode(FailableNode):
    """Node that prints the detections of one topic.

    Attributes:
        images: Number of printed images.
        reader_left: Whether the reader of stdout has closed the pipe.
    """

    def __init__(self) -> None:
        super().__init__("watch")
        self.images = 0
        self.reader_left = False
        self._notes: set[str] = set()

    def follow(self, detector: Detector, topic: str) -> None:
        """Print each message of a detector from now on, and that another one runs if discovery finds it late.

        Args:
            detector: Detector to follow.
            topic: Topic that the user named; empty: any.
        """
        self.create_subscription(Detection2DArray, detector.topic, self._print, DETECTIONS)
        self.call_every(LOOK_SECONDS, partial(self._note_others, detector, topic))

    def _note_others(self, detector: Detector, topic: str) -> None:
        for note in other_detectors(self, detector, topic):
            if note not in self._notes:
                self._notes.add(note)
                print(note, file=sys.stderr)

    def _print(self, message: Detection2DArray) -> None:
        self.images += 1
        try:
            print(line(message, self.get_clock().now().nanoseconds), flush=True)
        except BrokenPipeError:  # caught here, because EventsExecutor logs each error of a callback as fatal
            discard_stdout()
            self.reader_left = True


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
    best = best_hypothesis(detection)
    return "unknown" if best is None else f"{best[0]} {best[1]:.2f}"


def watch(topic: str, once: bool) -> int:
    """Print the detections of a detector until an interrupt, and return the exit code; see `find`."""
    node = None
    with ros_context() as ros:
        node = ros.add(WatchNode())
        detector = find(node, ros.executor, topic)
        print(f"watching {detector}", file=sys.stderr)
        node.follow(detector, topic)
        while rclpy.ok() and not (once and node.images) and not node.reader_left:
            ros.executor.spin_once(timeout_sec=0.2)
    if node and node.reader_left:
        return BROKEN_PIPE
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
    except RuntimeError as error:
        print(f"watch: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
