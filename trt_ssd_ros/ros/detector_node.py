"""The detector node: sensor_msgs/Image in, vision_msgs/Detection2DArray out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from diagnostic_updater import Updater
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.core.detections import Detections
from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.core.draw import draw_detections
from trt_ssd_ros.core.frames import Frame
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.rate_limit import RateLimit
from trt_ssd_ros.core.resources import model_card_path, sample_photos
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.ros.detection_settings import DetectionSettings
from trt_ssd_ros.ros.diagnostics import FrameCounts, StageTimes, fill_status
from trt_ssd_ros.ros.image_reader import read_image
from trt_ssd_ros.ros.inference_executor import InferenceExecutor
from trt_ssd_ros.ros.log_bridge import LogBridge
from trt_ssd_ros.ros.message_info import MessageInfo, SequenceGaps, on_publishers_changed, with_info
from trt_ssd_ros.ros.messages import detections_to_msg, image_to_msg, label_info_to_msg, nanoseconds
from trt_ssd_ros.ros.newest_slot import NewestSlot
from trt_ssd_ros.ros.parameters import DetectionParameters, declare_engine, declare_model
from trt_ssd_ros.ros.process import FailableNode, spin_node
from trt_ssd_ros.ros.signals import signals_taken

NEWEST = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
RESULTS = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
OVERRIDABLE = QoSOverridingOptions.with_default_policies()


class DetectorNode(FailableNode):
    """Detects in the newest image there is, in a thread of its own.

    The image callback only puts the message into a slot. The inference thread takes it from there, runs the
    engine and publishes, so that parameters and diagnostics are answered meanwhile.

    Args:
        open_engine: Opens the detector of a card; as `open_detector`.

    Raises:
        ValueError: A parameter, the model card or its ONNX file is wrong.
        RuntimeError: The backend is not installed, or its plan cannot be built.
    """

    def __init__(self, open_engine: Callable[..., Detector] = open_detector) -> None:
        super().__init__("detector")
        self._card = ModelCard.load(model_card_path(declare_model(self)))
        choice = declare_engine(self)
        self._settings = DetectionParameters(self, self._card)
        self._rate_limit = RateLimit()
        self._slot: NewestSlot[Image] = NewestSlot()
        self._counts = FrameCounts()
        self._gaps = SequenceGaps()
        self._times = StageTimes()
        self._log_bridge = LogBridge(self.get_logger())
        self._log_bridge.open()
        self._inference = InferenceExecutor(self.context)
        try:
            self._detector = self._open(open_engine, choice)
        except BaseException:
            self._end_inference()
            raise
        self._create_interfaces()
        self._publish_label_info()
        self._settings.call_when_thresholds_change(self._publish_label_info)
        topic = self._subscription.topic_name
        self.get_logger().info(f"{self._card.name} on {self._detector.engine_name}, waiting for images on {topic}")

    def destroy_node(self) -> None:
        """End the inference thread, which closes the engine, then the node."""
        self._end_inference()
        super().destroy_node()

    def _end_inference(self) -> None:
        self._inference.shutdown()
        self._log_bridge.close()

    def _open(self, open_engine: Callable[..., Detector], choice: EngineChoice) -> Detector:
        """Open the engine in the inference thread, with what it does meanwhile in the log."""

        def work() -> Detector:
            detector = open_engine(self._card, choice, sample_photos(), progress)
            self._inference.resources.callback(detector.close)
            return detector

        with LoggedProgress(cancelled=lambda: not self.context.ok()) as progress, signals_taken():
            return self._inference.submit(work).result()

    def _create_interfaces(self) -> None:
        self._label_info_publisher = self.create_publisher(LabelInfo, "label_info", LATCHED)
        self._detections_publisher = self.create_publisher(
            Detection2DArray, "detections", RESULTS, qos_overriding_options=OVERRIDABLE
        )
        self._debug_publisher = self.create_publisher(
            Image, "debug_image", RESULTS, qos_overriding_options=OVERRIDABLE
        )
        self.declare_parameter("diagnostic_updater.use_fqn", self.get_namespace() != "/")
        self._updater = Updater(self)
        self._updater.setHardwareID(self._detector.engine_name)
        self._updater.add("detector", self._diagnose)
        self._subscription = self.create_subscription(
            Image,
            "image",
            with_info(self._receive),
            NEWEST,
            event_callbacks=on_publishers_changed(self._gaps.restart),
            qos_overriding_options=OVERRIDABLE,
        )

    def _publish_label_info(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg())
        lowest = self._settings.thresholds().lowest
        self._label_info_publisher.publish(label_info_to_msg(self._card.labels, lowest, header))

    def _receive(self, message: Image, info: MessageInfo) -> None:
        if not self.context.ok():
            return
        publishers = self.count_publishers(self._subscription.topic_name)
        self._counts.lost += self._gaps.missing_before(info, publishers)
        if not self._rate_limit.admits(self._settings.current.max_rate, time.monotonic()):
            self._counts.rate_limited += 1
        elif self._slot.put(message):
            self._inference.submit(self._detect_newest).add_done_callback(self._end_on_failure)

    def _detect_newest(self) -> None:
        message = self._slot.take()
        assert message is not None, "detection is scheduled only by filling the slot"
        settings = self._settings.current
        age = self._age(message.header)
        if settings.too_old(age):
            self._counts.too_old += 1
            reason = f"image dropped: {age:.3g} s old, max_input_age is {settings.max_input_age:g} s"
            self.get_logger().warning(reason, throttle_duration_sec=5.0)
            return
        try:
            frame = read_image(message)
            start = time.perf_counter()
            self._detector.thresholds = settings.thresholds
            detections = self._detector.detect(frame.pixels, frame.channel_order, settings.region)
        except ValueError as error:
            self._counts.refused += 1
            self.get_logger().warning(f"image dropped: {error}", throttle_duration_sec=5.0)
            return
        self._times.engine.append((time.perf_counter() - start) * 1e3)
        self.get_logger().debug(f"{len(detections)} detections in {self._times.engine[-1]:.1f} ms")
        self._publish(message.header, frame, detections, settings)

    def _age(self, header: Header) -> float:
        """Return the seconds since a stamp on the node's clock; 0 without a stamp."""
        stamp = nanoseconds(header.stamp)
        return (self.get_clock().now().nanoseconds - stamp) / 1e9 if stamp else 0.0

    def _publish(self, header: Header, frame: Frame, detections: Detections, settings: DetectionSettings) -> None:
        labels = self._card.labels
        message = detections_to_msg(detections, header, labels, settings.class_id_format)
        self._detections_publisher.publish(message)
        self._counts.processed += 1
        if nanoseconds(header.stamp) > 0:
            self._times.latency.append(self._age(header) * 1e3)
        if self._debug_publisher.get_subscription_count() and settings.debug_image:
            drawn = draw_detections(frame.pixels, detections, labels, frame.channel_order, settings.style)
            self._debug_publisher.publish(image_to_msg(drawn, frame.channel_order, header))

    def _end_on_failure(self, done: Future[None]) -> None:
        """End the process when detection fails: an engine that failed once is not to be trusted again."""
        error = done.exception()
        if error is not None and self.context.ok():
            self.fail(f"detection failed, the node ends: {type(error).__name__}: {error}")

    def _diagnose(self, status: Any) -> Any:
        self._counts.overwritten = self._slot.overwritten
        return fill_status(status, self._detector.engine_name, self._counts, self._detector.counts, self._times)


def main(args: Sequence[str] | None = None) -> int:
    """Run the detector node."""
    return spin_node(DetectorNode, args)


if __name__ == "__main__":
    sys.exit(main())
