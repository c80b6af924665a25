"""DetectionLoop: the executor's image callback, from images that were taken to results that are published."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.context import Context

from trt_ssd_ros.node.camera_channel import TakenImage
from trt_ssd_ros.node.detected_frame import DetectedFrame
from trt_ssd_ros.node.image_input import read_image
from trt_ssd_ros.node.opened_model import OpenedModel


class DetectionLoop:
    """Runs the engine on images; all of it belongs to the executor's thread.

    Args:
        context: Of the node; a failure after its shutdown is none.
        model: Its detector is open while a channel is.
        fail: Called with the reason when the engine failed: an engine that failed once is not to be trusted again.
    """

    def __init__(self, context: Context, model: OpenedModel, fail: Callable[[str], None]) -> None:
        self._context = context
        self._model = model
        self._fail = fail

    def process(self, images: Sequence[TakenImage]) -> None:
        """Detect in images and publish what was found, one camera after the other."""
        for image in images:
            self.attempt(lambda taken=image: self._detect(taken))  # type: ignore[misc]

    def attempt(self, work: Callable[[], None]) -> None:
        """Do something with the engine; its failure ends the node."""
        try:
            work()
        except Exception as error:
            if self._context.ok():
                self._fail(f"detection failed, the node ends: {type(error).__name__}: {error}")

    def _detect(self, taken: TakenImage) -> None:
        detector, channel, message = self._model.detector, taken.channel, taken.message
        if detector is None:
            channel.counts.discarded += 1  # the model was closed after the image was taken, as was the channel
            return
        settings = channel.settings.current
        if channel.is_too_old(message.header, settings):
            return
        try:
            frame = read_image(message)
            start = time.perf_counter()
            detector.thresholds = settings.thresholds
            detections = detector.detect(frame.pixels, frame.channel_order, settings.region)
        except ValueError as error:
            channel.refuse(str(error))
            return
        channel.times.engine.append((time.perf_counter() - start) * 1e3)
        channel.publish(taken, DetectedFrame(message.header, frame, detections, settings))
