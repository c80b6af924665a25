"""DetectionLoop: the executor's image callback, which detects in images and publishes the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.context import Context

from trt_ssd_ros.node.camera_channel import TakenImage
from trt_ssd_ros.node.detected_frame import DetectedFrame
from trt_ssd_ros.node.image_reader import read_image
from trt_ssd_ros.node.opened_model import OpenedModel


class DetectionLoop:
    """Runner of the engine; all methods run in the executor's thread.

    Args:
        context: Context of the node; failures after its shutdown are ignored.
        model: Opened model; its detector is open while a channel is.
        fail: Called with the reason if the engine fails, because a failed engine cannot be trusted again.
    """

    def __init__(self, context: Context, model: OpenedModel, fail: Callable[[str], None]) -> None:
        self._context = context
        self._model = model
        self._fail = fail

    def process(self, images: Sequence[TakenImage]) -> None:
        """Detect in images and publish the detections, one camera after the other."""
        for image in images:
            self.attempt(lambda taken=image: self._detect(taken))  # type: ignore[misc]

    def attempt(self, work: Callable[[], None]) -> None:
        """Run a function that uses the engine; if it fails, end the node."""
        try:
            work()
        except Exception as error:
            if self._context.ok():
                self._fail(f"detection failed, the node exits: {type(error).__name__}: {error}")

    def _detect(self, taken: TakenImage) -> None:
        detector, channel, message = self._model.detector, taken.channel, taken.message
        if detector is None:
            channel.counts.discarded += 1  # model and channel were closed after the image was taken
            return
        settings = channel.settings.current
        if channel.is_too_old(message.header, settings):
            return
        try:
            frame = read_image(message)
            start = time.perf_counter()
            detector.thresholds = settings.thresholds
            detections = detector.detect_frame(frame, settings.region)
        except ValueError as error:
            channel.refuse(str(error))
            return
        channel.times.engine.append((time.perf_counter() - start) * 1e3)
        channel.publish(taken, DetectedFrame(message.header, frame, detections, settings))
