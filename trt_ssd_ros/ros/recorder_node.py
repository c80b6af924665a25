"""Watch a running detector for a while: a live line, a table of what was seen, pictures and a video."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.ros.allocator import keep_freed_blocks
from trt_ssd_ros.ros.image_reader import read_image
from trt_ssd_ros.ros.process import ros_context

VIDEO_RATE = 10
VIDEO_WIDTH = 640
STARTUP_SECONDS = 30.0
PICTURES = 3


@dataclass
class Sighting:
    """What was seen of one label: in how many frames, and where it scored best."""

    frames: int = 0
    score: float = 0.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    picture: NDArray[np.uint8] | None = None


@dataclass
class Recording:
    """Everything that was received.

    Attributes:
        frames: Detection arrays received.
        latencies: Milliseconds from each image's stamp to its detections' arrival here.
        sightings: By label.
        counts: The detector's own counts, from the latest /diagnostics.
        counts_before: The same from the first.
    """

    frames: int = 0
    latencies: list[float] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)
    counts_before: dict[str, str] = field(default_factory=dict)

    def by_frames(self) -> list[tuple[str, Sighting]]:
        """Return what was seen, most often seen first."""
        return sorted(self.sightings.items(), key=lambda item: -item[1].frames)

    def count(self, name: str) -> int:
        """Return how much one of the detector's counts grew."""
        return int(self.counts.get(name, 0)) - int(self.counts_before.get(name, 0))


class Video:
    """A small video of VIDEO_RATE frames a second, written while frames come.

    Args:
        path: Of the file.

    Attributes:
        frames: Frames written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._writer: cv2.VideoWriter | None = None
        self._first = 0.0

    def add(self, picture: NDArray[np.uint8], seconds: float) -> None:
        """Add a BGR picture (H, W, 3) that was taken at this time, unless its time is not due."""
        if self._writer is None:
            height = round(VIDEO_WIDTH * picture.shape[0] / picture.shape[1] / 2) * 2
            self._size, self._first = (VIDEO_WIDTH, height), seconds
            codec = cv2.VideoWriter.fourcc(*"VP80")
            self._writer = cv2.VideoWriter(str(self.path), codec, VIDEO_RATE, self._size)
            _require_written(self._writer.isOpened(), self.path)
        if (seconds - self._first) * VIDEO_RATE >= self.frames:
            self._writer.write(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA))
            self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


class RecorderNode(Node):
    """Subscribes to detections, debug_image and /diagnostics and keeps what a person wants to see.

    Args:
        recording: Gets what is received.
        video: Gets the debug images.
        live: Where the live line goes.
        view: Whether a window shows the debug images.
    """

    def __init__(self, recording: Recording, video: Video, live: TextIO, view: bool = False) -> None:
        super().__init__("recorder")
        self.recording = recording
        self._video = video
        self._live = live
        self._view = view
        namespace = self.get_namespace()
        self._status_name = "detector: detector" if namespace == "/" else f"{namespace}/detector: detector"
        self._recent: deque[Detection2DArray] = deque(maxlen=30)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        self.create_subscription(Image, "debug_image", self._on_debug_image, 5)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_timer(0.25 if live.isatty() else 2.0, self._say)

    def _on_detections(self, message: Detection2DArray) -> None:
        age = self.get_clock().now().nanoseconds - _nanoseconds(message.header.stamp)
        self.recording.latencies.append(age / 1e6)
        self.recording.frames += 1
        self._recent.append(message)
        for label in {_label(detection) for detection in message.detections}:
            self.recording.sightings.setdefault(label, Sighting()).frames += 1

    def _on_debug_image(self, message: Image) -> None:
        frame = read_image(message)
        picture = frame.pixels if frame.channel_order == "bgr" else frame.pixels[..., ::-1]
        for array in self._recent:
            if array.header.stamp == message.header.stamp:
                self._keep_best(array, picture)
        self._video.add(picture, _nanoseconds(message.header.stamp) / 1e9)
        if self._view:
            cv2.imshow("trt_ssd_ros", picture)
            cv2.waitKey(1)

    def _keep_best(self, array: Detection2DArray, picture: NDArray[np.uint8]) -> None:
        for detection in array.detections:
            sighting = self.recording.sightings[_label(detection)]
            score = detection.results[0].hypothesis.score
            if score > sighting.score:
                sighting.score, sighting.box, sighting.picture = score, _corners(detection), picture

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._status_name:
                self.recording.counts = {item.key: item.value for item in status.values}
                self.recording.counts_before = self.recording.counts_before or self.recording.counts

    def _say(self) -> None:
        if not self._recent:
            return
        seen = ", ".join(f"{_label(d)} {d.results[0].hypothesis.score:.2f}" for d in self._recent[-1].detections)
        line = f"{self.recording.frames:5d} frames, {self.recording.latencies[-1]:4.0f} ms: {seen or 'nothing'}"
        if self._live.isatty():
            self._live.write(f"\r\x1b[K{line[:100]}")
        else:
            self._live.write(f"{line}\n")
        self._live.flush()


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _label(detection: Detection2D) -> str:
    return str(detection.results[0].hypothesis.class_id)


def _corners(detection: Detection2D) -> tuple[int, int, int, int]:
    x, y = detection.bbox.center.position.x, detection.bbox.center.position.y
    w, h = detection.bbox.size_x, detection.bbox.size_y
    return round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)


def table(recording: Recording) -> str:
    """Return what was seen and how fast, as text."""
    lines = [f"{'label':<16}{'score':>6}   {'box x1 y1 x2 y2':<22}{'seen in':>9} frames"]
    for label, sighting in recording.by_frames():
        box = " ".join(f"{corner:4d}" for corner in sighting.box)
        lines.append(f"{label:<16}{sighting.score:6.2f}   {box:<22}{sighting.frames:9d}")
    processed, *drops = (recording.count(name) for name in ("processed", "overwritten", "lost", "refused"))
    p50, p99 = np.percentile(recording.latencies, (50, 99))
    lines += [
        "",
        f"engine      {recording.counts.get('engine', 'unknown')}",
        f"frames      {processed + sum(drops)} in, {processed} processed, {sum(drops)} dropped "
        f"({drops[0]} replaced by newer ones, {drops[1]} by the middleware, {drops[2]} unreadable)",
        f"latency     p50 {p50:.1f} ms, p99 {p99:.1f} ms from stamp to detections received",
    ]
    return "\n".join(lines)


def write_pictures(recording: Recording, folder: Path) -> list[Path]:
    """Write the best picture of each of the labels seen most, and return the paths."""
    paths = []
    for label, sighting in recording.by_frames()[:PICTURES]:
        if sighting.picture is not None:
            paths.append(folder / f"{label.lower().replace(' ', '_').replace('/', '_')}.png")
            _require_written(cv2.imwrite(str(paths[-1]), sighting.picture), paths[-1])
    return paths


def _require_written(written: bool, path: Path) -> None:
    if not written:
        raise RuntimeError(f"cannot write {path}: is the folder writable, and does OpenCV know the format?")


def record(seconds: float, video: Video, view: bool = False, live: TextIO = sys.stderr) -> Recording:
    """Watch for some seconds from the first detections on, or until interrupted.

    Raises:
        RuntimeError: No detections arrive.
    """
    recording = Recording()
    with ros_context() as executor:
        node = RecorderNode(recording, video, live, view)
        keep_freed_blocks()
        executor.add_node(node)
        topic = node.resolve_topic_name("detections")
        live.write(f"waiting for {topic} ...\n")
        started = node.get_clock().now()
        while recording.frames == 0:
            if (node.get_clock().now() - started).nanoseconds > STARTUP_SECONDS * 1e9:
                raise RuntimeError(f"no {topic} in {STARTUP_SECONDS:g} s: is a detector running?")
            executor.spin_once(timeout_sec=0.2)
        first = node.get_clock().now()
        while (node.get_clock().now() - first).nanoseconds < seconds * 1e9:
            executor.spin_once(timeout_sec=0.2)
    live.write("\r\x1b[K" if live.isatty() else "")
    if recording.frames == 0:
        raise RuntimeError("interrupted before any detections arrived")
    return recording


def main(args: Sequence[str] | None = None) -> int:
    """Run the recorder from the command line."""
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to watch (default: 10)")
    parser.add_argument("--output", type=Path, default=Path("recording"), help="folder for pictures and video")
    parser.add_argument("--view", action="store_true", help="show the debug images in a window")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with closing(Video(options.output / "detections.mkv")) as video:
            recording = record(options.seconds, video, options.view)
        print(table(recording))
        for path in [*write_pictures(recording, options.output), *([video.path] if video.frames else [])]:
            print(f"wrote       {path}")
    except (OSError, RuntimeError, cv2.error) as error:
        print(f"record: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
