"""Recorder of a running detector: a live status line, a table of the detections, pictures and a video."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TextIO

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import expect_new, numbered_folders, output_folder
from trt_ssd_ros.node.image_input import read_image
from trt_ssd_ros.node.messages import nanoseconds
from trt_ssd_ros.recorder.recording import REPORT, Recording, Sighting, Video, clear, table, write_pictures
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.ros.transport import keep_freed_blocks
from trt_ssd_ros.version import add_version

OUTPUT = "recording"
STARTUP_SECONDS = 30.0
UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
"""Name that the middleware gives to the node of a publisher until it discovers the node."""


class RecorderNode(Node):
    """Node that subscribes to detections, debug_image and /diagnostics, and fills a recording.

    Args:
        recording: Recording that the node fills.
        video: Video for the debug images.
        live: Stream for the live status line.
        view: Whether to show the debug images in a window.
    """

    def __init__(self, recording: Recording, video: Video, live: TextIO, view: bool = False) -> None:
        super().__init__("recorder")
        self.recording = recording
        self._video = video
        self._live = live
        self._view = view
        self._recent: deque[Detection2DArray] = deque(maxlen=30)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        self.create_subscription(Image, "debug_image", self._on_debug_image, 5)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_timer(0.25 if live.isatty() else 2.0, self._write_live_line)

    @property
    def detectors(self) -> set[str]:
        """Full names of the discovered nodes that publish detections."""
        publishers = self.get_publishers_info_by_topic(self.resolve_topic_name("detections"))
        known = (info for info in publishers if info.node_name != UNKNOWN_NODE)
        return {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in known}

    def _on_detections(self, message: Detection2DArray) -> None:
        age = self.get_clock().now().nanoseconds - nanoseconds(message.header.stamp)
        self.recording.latencies.append(age / 1e6)
        self.recording.frames += 1
        self._recent.append(message)
        stamp = nanoseconds(message.header.stamp)
        for label in {_label(detection) for detection in message.detections}:
            self.recording.sightings.setdefault(label, Sighting()).frames += 1
        for detection in message.detections:
            sighting, score = self.recording.sightings[_label(detection)], detection.results[0].hypothesis.score
            if score > sighting.score:
                sighting.score, sighting.box, sighting.stamp = score, _corners(detection), stamp

    def _on_debug_image(self, message: Image) -> None:
        frame = read_image(message)
        picture = frame.pixels if frame.channel_order == "bgr" else frame.pixels[..., ::-1]
        stamp = nanoseconds(message.header.stamp)
        for sighting in self.recording.sightings.values():
            if sighting.stamp == stamp:
                sighting.picture = picture
        self._video.add(picture, stamp / 1e9)
        if self._view:
            cv2.imshow("trt_ssd_ros", picture)
            cv2.waitKey(1)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        names = status_names(self.detectors)
        for status in message.status:
            if status.name in names:
                self.recording.counts = {item.key: item.value for item in status.values}
                self.recording.counts_before = self.recording.counts_before or self.recording.counts

    def _write_live_line(self) -> None:
        if not self._recent:
            return
        seen = ", ".join(f"{_label(d)} {d.results[0].hypothesis.score:.2f}" for d in self._recent[-1].detections)
        line = (
            f"{self.recording.frames:5d} frames, {self.recording.latencies[-1]:4.0f} ms: {seen or 'no detections'}"
        )
        if self._live.isatty():
            self._live.write(f"\r\x1b[K{line[:100]}")
        else:
            self._live.write(f"{line}\n")
        self._live.flush()


def status_names(nodes: Iterable[str]) -> set[str]:
    """Return the names of the detector nodes' status in /diagnostics; in the root namespace without a slash."""
    return {f"{node.lstrip('/') if node.count('/') == 1 else node}: detector" for node in nodes}


def _label(detection: Detection2D) -> str:
    return str(detection.results[0].hypothesis.class_id)


def _corners(detection: Detection2D) -> tuple[int, int, int, int]:
    x, y = detection.bbox.center.position.x, detection.bbox.center.position.y
    w, h = detection.bbox.size_x, detection.bbox.size_y
    return round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)


def record(seconds: float, video: Video, view: bool = False, live: TextIO = sys.stderr) -> Recording:
    """Record for a number of seconds from the first detections on, or until an interrupt.

    Raises:
        RuntimeError: No detections arrive, or several detectors publish them.
    """
    recording = Recording()
    with ros_context() as ros:
        node = ros.add(RecorderNode(recording, video, live, view))
        keep_freed_blocks()
        topic = node.resolve_topic_name("detections")
        live.write(f"waiting for {topic} ...\n")
        started = node.get_clock().now()
        while recording.frames == 0:
            if (node.get_clock().now() - started).nanoseconds > STARTUP_SECONDS * 1e9:
                raise RuntimeError(
                    f"no message on {topic} in {STARTUP_SECONDS:g} s: check that a detector runs and gets images"
                )
            ros.executor.spin_once(timeout_sec=0.2)
        first = node.get_clock().now()
        while (node.get_clock().now() - first).nanoseconds < seconds * 1e9:
            ros.executor.spin_once(timeout_sec=0.2)
        detectors = sorted(node.detectors)
        if len(detectors) > 1:
            raise RuntimeError(
                f"{topic} has several publishers ({', '.join(detectors)}): give each detector its own topic"
            )
    live.write("\r\x1b[K" if live.isatty() else "")
    if recording.frames == 0:
        raise RuntimeError("interrupted before any detections arrived")
    return recording


def main(args: Sequence[str] | None = None) -> int:
    """Run the recorder from the command line."""
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    add_version(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="recording time in seconds (default: 10)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"folder for pictures and video; default: {OUTPUT}, or {OUTPUT}_2, ... if it holds a recording",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the recording in DIR; default: the newest"
    )
    parser.add_argument("--view", action="store_true", help="show the debug images in a window")
    options = parser.parse_args(remove_ros_args(args)[1:])
    options.output = output_folder(options.output, numbered_folders(OUTPUT, REPORT), options.overwrite)
    try:
        advice = "give --overwrite to replace the recording, or another --output"
        expect_new(options.output / REPORT, options.overwrite, advice)
        options.output.mkdir(parents=True, exist_ok=True)
        clear(options.output)
        with closing(Video(options.output / "detections.mkv")) as video:
            recording = record(options.seconds, video, options.view)
        pictures = write_pictures(recording, options.output)
        paths = [*pictures, *([video.path] if video.frames else [])]
        report = "\n".join([table(recording), *(f"wrote       {path}" for path in paths)])
        (options.output / REPORT).write_text(report + "\n")
        print(report)
    except (OSError, RuntimeError, ValueError, cv2.error) as error:
        print(f"record: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
