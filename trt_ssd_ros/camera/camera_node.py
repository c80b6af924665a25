"""A camera without a driver: publishes photos, a folder, a video, a stream, a webcam or the demo's tour."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import Updater
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trt_ssd_ros.camera.parameters import CAMERA_NODE
from trt_ssd_ros.images.calibration import Calibration
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.source_name import SourceName
from trt_ssd_ros.images.stream import without_password
from trt_ssd_ros.node.messages import camera_info_to_msg, image_to_msg
from trt_ssd_ros.ros.process import FailableNode, LogBridge, spin_node
from trt_ssd_ros.ros.transport import OVERRIDABLE

CAMERA = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
DEFAULT_RATE = 30.0
ERRORS_ONLY = 2
"""Of OpenCV's log levels; what a user has to know of a source is in our own log."""
SETTLING = 0.5
"""Seconds in which a subscriber that was seen sees the publisher, and in which it takes what was sent last."""


class CameraNode(FailableNode):
    """Publishes image_raw and camera_info, reading in a thread of its own.

    What comes from files is paced; what a webcam or stream delivers is published as it comes. The stamp is taken
    before an image is decoded (of a network stream FFmpeg has decoded it by then, and only its colours are left).

    Raises:
        CalibrationError: The calibration is wrong.
        SourceError: The source cannot be opened.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        values = {spec.name: self.declare(spec) for spec in CAMERA_NODE}
        self._loop, self._frame_id, self._rate = values["loop"], values["frame_id"], values["rate"]
        self._calibration = Calibration.load(Path(values["calibration"])) if values["calibration"] else None
        self._image_publisher = self.create_publisher(
            Image, "image_raw", CAMERA, qos_overriding_options=OVERRIDABLE
        )
        self._info_publisher = self.create_publisher(
            CameraInfo, "camera_info", CAMERA, qos_overriding_options=OVERRIDABLE
        )
        self._log_bridge = LogBridge(self.get_logger())
        self._log_bridge.open()
        self._published, self._recent = 0, deque[float](maxlen=100)
        self._limit = RateLimit()
        self._stop = Event()
        size = (values[name] for name in ("width", "height", "rate"))
        name = values["source"]
        self._start: int = values["start"]
        self._passed_over: set[str] = set()
        self._source = open_checked(name, self._start, *size)
        self._period = 1 / (self._rate or self._source.rate or DEFAULT_RATE)
        self._report(without_password(name))
        self._thread = Thread(target=self._run, name="camera")
        self._thread.start()

    def _report(self, source: str) -> None:
        pace = "as it comes" if self._source.live and not self._rate else f"at {1 / self._period:.4g} Hz"
        self.get_logger().info(f"publishing {source} {pace}")
        self.declare_parameter("diagnostic_updater.use_fqn", self.get_namespace() != "/")
        self._updater = Updater(self)
        self._updater.setHardwareID(source)
        self._updater.add("camera", self._diagnose)

    def destroy_node(self) -> None:
        """End the reading thread, then the node."""
        self._stop.set()
        self._source.stop()
        self._thread.join()
        self._log_bridge.close()
        super().destroy_node()

    def _run(self) -> None:
        try:
            self._publish_all()
        except Exception as error:
            if self.context.ok():
                self.fail(f"camera stopped: {error}")
        else:
            if not self._stop.is_set():
                self._say_how_it_ended()
        finally:
            self._source.close()
            self.context.try_shutdown()

    def _publish_all(self) -> None:
        if not (self._loop or self._source.live):
            self._await_subscriber()
        due = monotonic()
        for capture in self._captures():
            if self._source.live:
                if not self._limit.admits(self._rate, monotonic()):
                    continue
            elif self._stop.wait(max(0.0, due - monotonic())):
                return
            self._publish(capture)
            due = max(due + self._period, monotonic())
        self._image_publisher.wait_for_all_acked(Duration(seconds=SETTLING))
        self._stop.wait(SETTLING)

    def _captures(self) -> Iterator[Capture]:
        yield from self._one_round()
        while self._loop and not self._stop.is_set():
            yield from self._one_round()

    def _one_round(self) -> Iterator[Capture]:
        """Go once through the source, from image number `start` on.

        Raises:
            SourceError: The source has no such image, or none that can be read.
        """
        total = 0
        for total, capture in enumerate(self._source.captures(), 1):
            if total > self._start:
                yield capture
        if self._start >= total > 0:
            raise SourceError(f"start: found {self._start}, expected less than the source's {total} images")
        if total and len(self._passed_over) == total - self._start:
            example = min(self._passed_over)
            raise SourceError(f"found {len(self._passed_over)} files none of which is an image, e.g. {example}")

    def _await_subscriber(self) -> None:
        """Wait, because what is played once and has no subscriber reaches nobody."""
        if self._image_publisher.get_subscription_count() == 0:
            self.get_logger().info(f"waiting for a subscriber of {self._image_publisher.topic_name}")
        while self._image_publisher.get_subscription_count() == 0 and not self._stop.wait(0.02):
            pass
        self._stop.wait(SETTLING)

    def _publish(self, capture: Capture) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        image = capture()
        if image.problem:
            self._pass_over(image)
            return
        height, width = image.pixels.shape[:2]
        if self._calibration and (self._calibration.width, self._calibration.height) != (width, height):
            self.get_logger().warning(
                f"camera_info is empty: images are {width}x{height}, the calibration is for "
                f"{self._calibration.width}x{self._calibration.height}",
                once=True,
            )
        self._image_publisher.publish(image_to_msg(image.pixels, image.channel_order, header))
        self._info_publisher.publish(camera_info_to_msg(self._calibration, width, height, header))
        self._published += 1
        self._recent.append(monotonic())

    def _pass_over(self, image: SourceImage) -> None:
        if image.name not in self._passed_over:
            self._passed_over.add(image.name)
            self.get_logger().warning(f"passed over: {image.problem}")

    def _say_how_it_ended(self) -> None:
        passed_over = len(self._passed_over)
        rest = f", {passed_over} files passed over" if passed_over else ""
        self.get_logger().info(f"the source ended after {self._published} images{rest}")

    def _diagnose(self, status: Any) -> Any:
        source = self._source
        if source.trouble:
            status.summary(DiagnosticStatus.ERROR, f"no images, opening it again: {source.trouble}")
        elif self._passed_over:
            text = f"{len(self._passed_over)} images cannot be read, see the log"
            status.summary(DiagnosticStatus.WARN, text)
        else:
            status.summary(DiagnosticStatus.OK, f"{self._published} images")
        status.add("published", str(self._published))
        status.add("output Hz", f"{self._recent_rate():.2f}")
        status.add("passed over", str(len(self._passed_over)))
        status.add("interruptions", str(source.interruptions))
        return status

    def _recent_rate(self) -> float:
        """Return images a second over the last 5 s, or the last 100 images."""
        times = [t for t in list(self._recent) if monotonic() - t < 5.0]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def open_checked(name: str, start: int, width: int, height: int, rate: float) -> ImageSource:
    """Open a source; see `open_source`.

    Raises:
        SourceError: The source cannot be opened, or takes no size or no start.
    """
    parsed = SourceName.parse(name)
    if parsed.kind == "demo" and (start or width or height):
        raise SourceError(
            f"source: demo has its own size and order: found start {start}, width {width} and height {height}, "
            "expected none of them with source:=demo"
        )
    if start and parsed.live:
        raise SourceError(f"start: found {start}, expected 0 for {name}, which has no beginning")
    return open_source(name, width, height, rate)


def main(args: Sequence[str] | None = None) -> int:
    """Run the camera node."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # nothing: it complains at each attempt to open a stream
    cv2.setLogLevel(ERRORS_ONLY)
    return spin_node(CameraNode, args)


if __name__ == "__main__":
    sys.exit(main())
