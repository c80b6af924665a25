"""Recorder of a running detector: a live status line, a table of the detections, pictures and a video."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from math import isfinite
from pathlib import Path
from typing import TextIO

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.errors import INTERRUPTED, one_line
from trt_ssd_ros.files import expect_new, numbered_folders, output_folder, write_atomically
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import FrameError
from trt_ssd_ros.recorder.detectors import STARTUP_SECONDS, Detector, find, other_detectors, spin_until
from trt_ssd_ros.recorder.messages import DETECTIONS, best_hypothesis, printable
from trt_ssd_ros.recorder.recording import (
    REPORT,
    WROTE,
    Found,
    Recording,
    clear,
    recording_folder,
    table,
    write_pictures,
)
from trt_ssd_ros.recorder.video import Video
from trt_ssd_ros.ros.process import TERMINATION_SIGNALS, ros_context
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.ros.transport import keep_freed_blocks
from trt_ssd_ros.version import add_version

OUTPUT = "recording"
NICENESS = 10
"""Priority of the recorder's thread: beside the detector, whose niceness is 0, it gets a tenth of a processor."""
NEWEST_PICTURE = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
"""A slow recorder drops pictures instead of falling behind."""


class RecorderNode(Node):
    """Node that fills a recording from the topics of a detector.

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
        self._statuses: set[str] = set()
        self._seen = ""

    def follow(self, detector: Detector) -> None:
        """Subscribe to the detections, compressed debug images and diagnostics of a detector."""
        self._statuses = detector.statuses
        self.recording.has_pictures = bool(detector.pictures)
        self.create_subscription(Detection2DArray, detector.topic, self._on_detections, DETECTIONS)
        if detector.pictures:
            self.create_subscription(CompressedImage, detector.pictures, self._on_picture, NEWEST_PICTURE)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # the node's clock may stand still under use_sim_time
        self.create_timer(0.25 if self._live.isatty() else 2.0, self._write_live_line, clock=steady)

    def _on_detections(self, message: Detection2DArray) -> None:
        found = [item for item in map(_found, message.detections) if item]
        self.recording.add_detections(nanoseconds(message.header.stamp), found)
        self._seen = ", ".join(f"{item.label} {item.score:.2f}" for item in found) or "no detections"

    def _on_picture(self, message: CompressedImage) -> None:
        stamp, jpeg = nanoseconds(message.header.stamp), bytes(message.data)
        try:
            self._video.add(jpeg, stamp / 1e9)
            if self._view:
                cv2.imshow("trt_ssd_ros", decode_image(jpeg, message.format))
                cv2.waitKey(1)
        except FrameError as error:
            self.get_logger().warning(f"picture dropped: {error}", throttle_duration_sec=5.0)
        else:
            self.recording.add_picture(stamp, jpeg)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name in self._statuses:
                self.recording.counts = {item.key: printable(item.value) for item in status.values}
                self.recording.counts_before = self.recording.counts_before or self.recording.counts

    def _write_live_line(self) -> None:
        if not self._seen:
            return
        latency = self.recording.counts.get("latency p50 ms")
        delay = f"latency {float(latency):.0f} ms" if latency else "latency not reported yet"
        line = f"{self.recording.frames:5d} frames, {delay}: {self._seen}"
        if self._live.isatty():
            self._live.write(f"\r\x1b[K{line[:100]}")
        else:
            self._live.write(f"{line}\n")
        self._live.flush()


def _found(detection: Detection2D) -> Found | None:
    best, corners = best_hypothesis(detection), _corners(detection)
    return Found(*best, corners) if best and corners else None


def _corners(detection: Detection2D) -> tuple[int, int, int, int] | None:
    x, y = detection.bbox.center.position.x, detection.bbox.center.position.y
    w, h = detection.bbox.size_x, detection.bbox.size_y
    if not all(map(isfinite, (x, y, w, h))):
        return None
    return round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)


def record(
    seconds: float, video: Video, topic: str = "", view: bool = False, live: TextIO = sys.stderr
) -> Recording:
    """Record for a number of seconds from the first detections on, or until an interrupt.

    Args:
        seconds: Recording time in seconds, on a steady clock, also under use_sim_time: a paused bag ends it.
        video: Video for the debug images.
        topic: Topic of the detections; empty: see `find`.
        view: Whether to show the debug images in a window.
        live: Stream for the live status line.

    Raises:
        RuntimeError: No detections arrive, or several detectors publish them at the start.
    """
    recording = Recording()
    with ros_context() as ros:
        node = ros.add(RecorderNode(recording, video, live, view))
        keep_freed_blocks()
        detector = find(node, ros.executor, topic, with_pictures=True)
        live.write(f"recording {detector}\n")
        # Of this thread alone, which decodes and encodes; the middleware's threads started before.
        os.nice(NICENESS)
        node.follow(detector)
        spin_until(lambda: recording.frames, STARTUP_SECONDS, ros.executor)
        if recording.frames == 0:
            raise RuntimeError(
                f"no message on {detector.topic} in {STARTUP_SECONDS:g} s: check that the detector gets images"
            )
        # A signal ends this block, so look before the recording, too.
        recording.notes = other_detectors(node, detector, topic)
        spin_until(lambda: False, seconds, ros.executor)
        recording.notes = other_detectors(node, detector, topic)
    recording.finish()
    live.write("\r\x1b[K" if live.isatty() else "")
    live.writelines(f"{note}\n" for note in recording.notes)
    if recording.frames == 0:
        raise RuntimeError("interrupted before any detections arrived")
    return recording


def report(recording: Recording, video: Video, folder: Path) -> str:
    """Write the pictures, the video and the report, and return the report's text.

    Args:
        recording: Recording to report.
        video: Video of the recording.
        folder: Folder of the files.

    Raises:
        OSError: The folder is not writable.
    """
    pictures = write_pictures(recording, folder)
    video.finish()
    paths = [*pictures.values(), *([video.path] if video.frames else []), folder / REPORT]
    lines = [table(recording, pictures), f"{'video':<12}{video.described}"]
    notes = [f"{'note':<12}{note}" for note in recording.notes]
    text = "\n".join([*lines, *notes, *(f"{WROTE}{path}" for path in paths)])
    write_atomically(folder / REPORT, os.fsencode(f"{text}\n"))
    return text


@contextmanager
def _signals_held() -> Iterator[None]:
    """Raise the termination signals that arrive in the body after it.

    To block them would not do: the threads of NumPy's OpenBLAS, which its import starts, receive signals too.
    """
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda caught, _: received.append(caught)) for number in TERMINATION_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    add_version(parser)
    parser.add_argument("--topic", default="", help="topic of the detections (default: that of the only detector)")
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
    return parser.parse_args(arguments)


def main(args: Sequence[str] | None = None) -> int:
    """Run the recorder from the command line."""
    options = parse(remove_ros_args(args)[1:])
    folder = output_folder(options.output, numbered_folders(OUTPUT, REPORT), options.overwrite)
    try:
        advice = "give --overwrite to replace the recording, or another --output"
        expect_new(folder / REPORT, options.overwrite, advice)
        with recording_folder(folder), closing(Video(folder / "detections.mp4")) as video:
            recording = record(options.seconds, video, options.topic, options.view)
            with _signals_held():
                clear(folder)
                print(report(recording, video, folder))
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, RuntimeError, ValueError, cv2.error) as error:
        print(f"record: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
