"""CameraNode: publishes photos, a folder, a video, a stream, a webcam or the demo's tour, without a driver."""

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
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trt_ssd_ros.camera.parameters import CAMERA_NODE
from trt_ssd_ros.errors import counted
from trt_ssd_ros.images.calibration import Calibration
from trt_ssd_ros.images.open_source import find_source
from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.images.source import AbsentSourceError, Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.source_name import SourceName, without_password
from trt_ssd_ros.images.stream import exit_code, retry_delays
from trt_ssd_ros.node.messages import camera_info_to_msg, image_to_msg
from trt_ssd_ros.ros.process import FailableNode, LogBridge, signals_blocked, spin_node
from trt_ssd_ros.ros.status_updater import StatusUpdater
from trt_ssd_ros.ros.transport import OVERRIDABLE

CAMERA = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
DEFAULT_RATE = 30.0
ERRORS_ONLY = 2
"""Log level of OpenCV; the node itself logs what users need to know of a source."""
LONGEST_RETRY = 2.0
"""Seconds between two attempts to open a source that has not been there yet, at most."""
SETTLING = 0.5
"""Seconds for a discovered subscriber to discover the publisher, and to receive the last image."""


class CameraNode(FailableNode):
    """Node that publishes image_raw and camera_info, and reads its source in a separate thread.

    Images of files are paced; images of a webcam or stream are published as they arrive. The stamp is taken before
    an image is decoded. Images of a network stream are an exception: FFmpeg has decoded them by then, and only the
    colour conversion follows.

    A webcam, stream or pipeline is opened in the thread, too, so that a signal ends the node meanwhile.

    Raises:
        CalibrationError: The calibration is wrong.
        SourceError: The source is wrong, so that waiting for it is useless.
        ValueError: A parameter is wrong or does not exist.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        values = {spec.name: self.declare(spec) for spec in CAMERA_NODE}
        self.check_overrides()
        self._loop, self._rate = values["loop"], values["rate"]
        self._frame_id = values["frame_id"] or self.get_fully_qualified_name().lstrip("/")
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
        self._start: int = values["start"]
        self._skipped: set[str] = set()
        size = (values[name] for name in ("width", "height", "rate"))
        self._source = find_checked(values["source"], self._start, *size)
        self._source.stop_on(self._stop)
        self._period = 1 / (self._rate or self._source.rate or DEFAULT_RATE)
        self._name = without_password(values["source"])
        self._waits, self._absence = values["wait_for_source"], ""
        self._updater = StatusUpdater(self, self._name)
        self._updater.add("camera", self._diagnose)
        self._thread = Thread(target=self._run, name="camera")
        self.call_once_spinning(self._start_thread)

    def _start_thread(self) -> None:
        with signals_blocked():
            self._thread.start()

    def destroy_node(self) -> None:
        """Stop the reading thread, then destroy the node."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._log_bridge.close()
        super().destroy_node()

    def _run(self) -> None:
        try:
            if self._open():
                self._publish_all()
        except Exception as error:
            if self.context.ok():
                never_open = isinstance(error, AbsentSourceError)
                self.fail(str(error) if never_open else f"camera stopped: {error}")
        else:
            if not self._stop.is_set():
                self._log_end()
        finally:
            self._source.close()
            self.context.try_shutdown()

    def _open(self) -> bool:
        """Open the source, and return whether it is open; false only after a stop.

        Raises:
            AbsentSourceError: The source cannot be opened, and `wait_for_source` is false.
        """
        began, delays = monotonic(), retry_delays(LONGEST_RETRY)
        while not self._try_to_open():
            if self._stop.wait(next(delays)):
                return False
        waited = f", after {monotonic() - began:.1f} s of waiting for it" if self._absence else ""
        self._absence = ""
        by_source = self._source.live and not self._rate
        pace = "at the rate of the source" if by_source else f"at {1 / self._period:.4g} Hz"
        self.get_logger().info(f"publishing {self._name} {pace}{waited}, frame_id {self._frame_id}")
        return True

    def _try_to_open(self) -> bool:
        try:
            self._source.open()
        except AbsentSourceError as error:
            if not self.context.ok():
                return False
            if not self._waits:
                raise
            if not self._absence:
                advice = "trying again until it opens (wait_for_source:=false ends the node instead)"
                self.get_logger().warning(f"{error}; {advice}")
            self._absence = str(error)
            return False
        return True

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
        yield from self._one_pass()
        while self._loop and not self._stop.is_set():
            yield from self._one_pass()

    def _one_pass(self) -> Iterator[Capture]:
        """Read the source once, from image number `start` on.

        Raises:
            SourceError: The source has fewer images, or none that can be read.
        """
        total = 0
        for total, capture in enumerate(self._source.captures(), 1):
            if total > self._start:
                yield capture
        if self._start >= total > 0:
            raise SourceError(
                f"start: found {self._start}, expected at most {total - 1}: the source has "
                f"{counted(total, 'image')}"
            )
        if total and len(self._skipped) == total - self._start:
            found = counted(len(self._skipped), "file")
            raise SourceError(f"source: found {found}, but no image that can be read, e.g. {min(self._skipped)}")

    def _await_subscriber(self) -> None:
        """Wait for a subscriber, because a source that plays once would be lost without one."""
        if self._image_publisher.get_subscription_count() == 0:
            self.get_logger().info(f"waiting for a subscriber on {self._image_publisher.topic_name}")
        while self._image_publisher.get_subscription_count() == 0 and not self._stop.wait(0.02):
            pass
        self._stop.wait(SETTLING)

    def _publish(self, capture: Capture) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        image = capture()
        if image.problem:
            self._skip(image)
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

    def _skip(self, image: SourceImage) -> None:
        if image.name not in self._skipped:
            self._skipped.add(image.name)
            self.get_logger().warning(f"skipped: {image.problem}")

    def _log_end(self) -> None:
        skipped = len(self._skipped)
        rest = f", {counted(skipped, 'file')} skipped" if skipped else ""
        self.get_logger().info(
            f"the source ended after {counted(self._published, 'image')}{rest}: the node ends, as loop is false"
        )

    def _diagnose(self, status: Any) -> Any:
        source = self._source
        if self._absence:
            status.summary(DiagnosticStatus.WARN, f"waiting for the source: {self._absence}")
        elif source.trouble:
            status.summary(DiagnosticStatus.ERROR, f"no images, reopening the source: {source.trouble}")
        elif self._skipped:
            text = f"found {counted(len(self._skipped), 'unreadable image')}, see the log"
            status.summary(DiagnosticStatus.WARN, text)
        else:
            status.summary(DiagnosticStatus.OK, counted(self._published, "image"))
        status.add("published", str(self._published))
        status.add("output Hz", f"{self._recent_rate():.2f}")
        status.add("passed over", str(len(self._skipped)))
        status.add("interruptions", str(source.interruptions))
        return status

    def _recent_rate(self) -> float:
        """Return the number of images per second, over the last 5 s or the last 100 images."""
        times = [t for t in list(self._recent) if monotonic() - t < 5.0]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def find_checked(name: str, start: int, width: int, height: int, rate: float) -> ImageSource:
    """Return a source; see `find_source`.

    Raises:
        SourceError: The source is wrong, or does not support a size or a start.
    """
    parsed = SourceName.parse(name)
    if parsed.kind == "demo" and (start or width or height):
        raise SourceError(
            f"source: demo has a fixed size and order: found start {start}, width {width} and height {height}, "
            "expected 0 for each"
        )
    if start and parsed.live:
        live = without_password(name)
        raise SourceError(f"start: found {start}, expected 0: {live} is live and has no first image")
    return find_source(name, width, height, rate)


def main(args: Sequence[str] | None = None) -> int:
    """Run the camera node."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg logs each attempt to open a stream
    cv2.setLogLevel(ERRORS_ONLY)
    return exit_code(spin_node(CameraNode, args))


if __name__ == "__main__":
    sys.exit(main())
