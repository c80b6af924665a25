"""CameraNode: publishes photos, a folder, a video, a stream, a webcam or the demo's tour, without a driver."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trt_ssd_ros.camera.parameters import CAMERA_NODE
from trt_ssd_ros.camera.source_reader import SETTLING, Playback, SourceReader
from trt_ssd_ros.errors import counted
from trt_ssd_ros.images.calibration import Calibration
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.images.open_source import find_source
from trt_ssd_ros.images.quiet_opencv import quiet_opencv
from trt_ssd_ros.images.source import AbsentSourceError, Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.source_name import SourceName, without_password
from trt_ssd_ros.images.stream import exit_code
from trt_ssd_ros.node.composed_input import CapturedImage, ComposedInput
from trt_ssd_ros.node.messages import camera_info_to_msg, image_to_msg
from trt_ssd_ros.ros.process import FailableNode, LogBridge, spin_node
from trt_ssd_ros.ros.status_updater import StatusUpdater
from trt_ssd_ros.ros.transport import OVERRIDABLE

CAMERA = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
WATCH_PERIOD = 1.0
"""Seconds between two checks whether the source hangs, on a steady clock."""
MOST_HUNG = 3
"""Threads that are left to a source that hangs, at most; then the node waits for the source to return."""
LOGGERS = ("trt_ssd_ros.images", "trt_ssd_ros.camera")
"""Python loggers whose lines are the camera's."""


class CameraNode(FailableNode):
    """Node that publishes image_raw and camera_info, and reads its source in a separate thread.

    Images of files are paced; images of a webcam or stream are published as they arrive. The stamp is taken before
    an image is decoded. Images of a network stream are an exception: FFmpeg has decoded them by then, and only the
    colour conversion follows.

    A webcam, stream or pipeline is opened in the thread, too, so that a signal ends the node meanwhile. A source
    that hangs is left to its thread, and opened again in a new one.

    With a detector in the same process (`composed`), each image is given to it directly; image_raw and camera_info
    are published while they have subscribers. Such a camera is open only while its images are wanted, and does
    not end the process when its source fails, but opens it again.

    Args:
        composed: Input of the detector in the same process; None if there is none.
        namespace: Full namespace of the node; empty: as on the command line.

    Raises:
        CalibrationError: The calibration is wrong.
        SourceError: The source is wrong, so that waiting for it is useless.
        ValueError: A parameter is wrong or does not exist.
    """

    def __init__(self, composed: ComposedInput | None = None, namespace: str = "") -> None:
        # A rule of the command line would move all cameras of the process into one namespace, because it finds a
        # node by the node's new name, which is `camera` for each. The node's own rule takes precedence.
        rules = ["--ros-args", "-r", f"__ns:={namespace}"] if namespace else None
        super().__init__("camera", cli_args=rules)
        values = {spec.name: self.declare(spec) for spec in CAMERA_NODE}
        self.check_overrides()
        self._frame_id = values["frame_id"] or self.get_fully_qualified_name().lstrip("/")
        self._calibration = Calibration.load(Path(values["calibration"])) if values["calibration"] else None
        self._image_publisher = self.create_publisher(
            Image, "image_raw", CAMERA, qos_overriding_options=OVERRIDABLE
        )
        self._info_publisher = self.create_publisher(
            CameraInfo, "camera_info", CAMERA, qos_overriding_options=OVERRIDABLE
        )
        self._composed = composed
        self.demand = f"a subscriber on {self._image_publisher.topic_name}"
        if composed is not None:
            self.demand = f"the detector, or {self.demand} or {self._info_publisher.topic_name}"
            composed.describe = self._describe
        self._published, self._recent = 0, deque[float](maxlen=100)
        self._skipped: set[str] = set()
        self._playback = Playback(
            values["rate"], values["loop"], values["start"], values["wait_for_source"], composed is not None
        )
        size = (values[name] for name in ("width", "height", "rate"))
        self._find = partial(find_checked, values["source"], values["start"], *size)
        self._name = without_password(values["source"])
        self._reader = self._new_reader()
        self._hung: list[SourceReader] = []
        self._log_bridge = LogBridge(self.get_logger(), *LOGGERS)
        self._log_bridge.addFilter(self._logs)
        self._log_bridge.open()
        self._updater = StatusUpdater(self, self._name)
        self._updater.add("camera", self._diagnose)
        self.call_every(WATCH_PERIOD, self._leave_if_it_hangs)
        self.call_once_spinning(self._reader.start)

    def _new_reader(self, hung: SourceReader | None = None) -> SourceReader:
        return SourceReader(self._find, self._playback, self, self.get_logger(), hung)

    def destroy_node(self) -> None:
        """Stop the reading thread, then destroy the node."""
        self._reader.stop()
        self._log_bridge.close()
        super().destroy_node()

    def _logs(self, record: logging.LogRecord) -> bool:
        """Return whether a line of the log is about this camera, not about another one in the process."""
        return any(reader.thread_id == record.thread for reader in (self._reader, *self._hung))

    def _leave_if_it_hangs(self) -> None:
        """Replace a reader that hangs in its source by a new one, unless MOST_HUNG threads hang already."""
        reader = self._reader
        failure = reader.find_hang()
        if not failure:
            return
        reader.failure = failure
        self._hung = [hung for hung in self._hung if hung.is_alive]
        if len(self._hung) < MOST_HUNG:
            self.get_logger().error(f"{failure}; opening it again")
            self._hung.append(reader)
            reader.stop(seconds=0)
            self._reader = self._new_reader(reader)
            self._reader.start()

    @property
    def is_ending(self) -> bool:
        """Whether ROS is shut down; see `Viewer.is_ending`."""
        return not self.context.ok()

    def is_wanted(self) -> bool:
        """Return whether the detector or a subscriber wants images; see `Viewer.is_wanted`."""
        has_viewer = self._image_publisher.get_subscription_count() > 0
        if self._composed is None:
            return has_viewer or self._playback.loop or self._reader.source.live
        taken = self._composed.opened is not None
        return has_viewer or taken or self._info_publisher.get_subscription_count() > 0

    def note_opened(self, pace: str) -> None:
        """Log the source and its frame id; see `Viewer.note_opened`."""
        self.get_logger().info(f"publishing {self._name} {pace}, frame_id {self._frame_id}")

    def show(self, capture: Capture) -> bool:
        """Publish an image, and give it to a detector in this process; see `Viewer.show`."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        image = capture()
        if image.problem:
            self._skip(image)
            return False
        if self._composed is not None:
            self._composed.put(CapturedImage(header, Frame(image.pixels, image.channel_order)))
        self._publish(image, header)
        self._published += 1
        self._recent.append(monotonic())
        return True

    def _publish(self, image: SourceImage, header: Header) -> None:
        height, width = image.pixels.shape[:2]
        if self._calibration and (self._calibration.width, self._calibration.height) != (width, height):
            self.get_logger().warning(
                f"camera_info is empty: images are {width}x{height}, the calibration is for "
                f"{self._calibration.width}x{self._calibration.height}",
                once=True,
            )
        if self._image_publisher.get_subscription_count():
            self._image_publisher.publish(image_to_msg(image.pixels, image.channel_order, header))
        if self._info_publisher.get_subscription_count():
            self._info_publisher.publish(camera_info_to_msg(self._calibration, width, height, header))

    def end(self, error: Exception | None) -> None:
        """End the process, unless the source has ended beside a detector; see `Viewer.end`."""
        if not self.context.ok():
            return
        if error is not None:
            self.fail(str(error) if isinstance(error, AbsentSourceError) else f"camera stopped: {error}")
            return
        skipped = f", {counted(len(self._skipped), 'file')} skipped" if self._skipped else ""
        text = f"the source ended after {counted(self._published, 'image')}{skipped}"
        self._image_publisher.wait_for_all_acked(Duration(seconds=SETTLING))
        if self._composed is not None:
            self.get_logger().info(f"{text}: it does not start again, as loop is false")
            return
        self.get_logger().info(f"{text}: the node ends, as loop is false")
        self.context.try_shutdown()

    def _skip(self, image: SourceImage) -> None:
        if image.name not in self._skipped:
            self._skipped.add(image.name)
            self.get_logger().warning(f"skipped: {image.problem}")

    def _alert(self) -> tuple[bytes, str]:
        """Return the level and the text of the status."""
        reader = self._reader
        if reader.idle:
            return DiagnosticStatus.OK, f"idle, waiting for {self.demand}"
        failure = reader.source.trouble or reader.failure
        if failure:
            return DiagnosticStatus.ERROR, f"no images, reopening the source: {reader.absence or failure}"
        if reader.absence:
            return DiagnosticStatus.WARN, f"waiting for the source: {reader.absence}"
        if reader.ended:
            return DiagnosticStatus.ERROR, f"the source has ended after {counted(self._published, 'image')}"
        if self._skipped:
            text = f"found {counted(len(self._skipped), 'unreadable image')}, see the log"
            return DiagnosticStatus.WARN, text
        return DiagnosticStatus.OK, counted(self._published, "image")

    def _describe(self) -> str:
        """Return the state of the source, for the detector in this process."""
        return self._alert()[1]

    def _diagnose(self, status: Any) -> Any:
        status.summary(*self._alert())
        status.add("published", str(self._published))
        status.add("output Hz", f"{self._recent_rate():.2f}")
        status.add("passed over", str(len(self._skipped)))
        status.add("interruptions", str(self._reader.interruptions))
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
    quiet_opencv()
    return exit_code(spin_node(CameraNode, args))


if __name__ == "__main__":
    sys.exit(main())
