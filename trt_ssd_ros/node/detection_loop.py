"""DetectionLoop: from images that arrive to results that are published, in the inference thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, Protocol

from rclpy.node import Node
from std_msgs.msg import Header

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.node.diagnostics import FrameCounts, StageTimes
from trt_ssd_ros.node.image_input import read_image
from trt_ssd_ros.node.inference_executor import InferenceExecutor, NewestSlot
from trt_ssd_ros.node.messages import nanoseconds
from trt_ssd_ros.node.opened_model import OpenedModel
from trt_ssd_ros.node.settings import DetectionParameters, DetectionSettings


class Results(Protocol):
    """Takes what was found in an image."""

    def publish(self, header: Header, detections: Detections, settings: DetectionSettings) -> None:
        """Publish what was found in an image."""

    def draw(
        self, header: Header, frame: Frame, detections: Detections, settings: DetectionSettings
    ) -> Callable[[], None] | None:
        """Draw the image with its boxes and return what publishes it; None if nobody looks."""


class _Waiting(NamedTuple):
    """An image in the slot.

    Attributes:
        message: The image.
        session: Which opening of the loop it came in.
        since: When, in seconds of perf_counter.
        age: How old it was then, in ms of the node's clock; None if it has no stamp.
    """

    message: Any
    session: int
    since: float
    age: float | None


class DetectionLoop:
    """Detects in the newest image there is. Nothing is published once `close` has returned.

    Args:
        node: Whose clock and log are used.
        inference: Runs the detection.
        model: Its detector is open while the loop is.
        parameters: Say what is detected, and which images are looked at.
        results: Publishes what was found, in the inference thread.
        on_refusal: Told why an image was dropped.
        fail: Told when the engine fails.

    Attributes:
        counts: What became of every image.
        refusal: Why the newest image was refused; empty if it was not.
        times: How long it took.
    """

    def __init__(
        self,
        node: Node,
        inference: InferenceExecutor,
        model: OpenedModel,
        parameters: DetectionParameters,
        results: Results,
        on_refusal: Callable[[str], None],
        fail: Callable[[str], None],
    ) -> None:
        self.counts = FrameCounts()
        self.refusal = ""
        self.times = StageTimes()
        self._node = node
        self._inference = inference
        self._model = model
        self._parameters = parameters
        self._rate_limit = RateLimit()
        self._results = results
        self._on_refusal = on_refusal
        self._fail = fail
        self._slot: NewestSlot[_Waiting] = NewestSlot()
        self._publishing = Lock()
        self._session = 0
        self._is_open = False

    def open(self) -> None:
        """Begin to take images."""
        with self._publishing:
            self._session += 1
            self._is_open = True

    def close(self) -> None:
        """Stop: no image is taken any more, and what is being detected will not be published."""
        with self._publishing:
            self._is_open = False
            self.counts.discarded += self._slot.take() is not None

    def receive(self, message: Any, now: int) -> None:
        """Take an image, instead of the one that waits, if any; called in the node's thread.

        Args:
            message: The image.
            now: The node's clock, ns.
        """
        if not self._is_open:
            return
        self.counts.received += 1
        stamp = nanoseconds(message.header.stamp)
        age = (now - stamp) / 1e6 if stamp > 0 else None
        if age is not None:
            self.times.age.append(age)
        if not self._rate_limit.admits(self._parameters.current.max_rate, time.monotonic()):
            self.counts.rate_limited += 1
            return
        if self._slot.put(_Waiting(message, self._session, time.perf_counter(), age)):
            self.submit(self._detect_newest)
        self.counts.overwritten = self._slot.overwritten

    def submit(self, work: Callable[[], None]) -> None:
        """Have something done in the inference thread. An engine that failed once is not to be trusted again."""

        def attempt() -> None:
            try:
                work()
            except Exception as error:
                if self._node.context.ok():
                    self._fail(f"detection failed, the node ends: {type(error).__name__}: {error}")

        self._inference.post(attempt)

    def _detect_newest(self) -> None:
        waiting = self._slot.take()
        if waiting is None:
            return  # the loop was closed since
        detector, message = self._model.detector, waiting.message
        assert detector is not None, "the loop is open only while the detector is"
        settings = self._parameters.current
        if self._is_too_old(message.header, settings):
            return
        start = time.perf_counter()
        try:
            frame = read_image(message)
            engine_start = time.perf_counter()
            detector.thresholds = settings.thresholds
            detections = detector.detect(frame.pixels, frame.channel_order, settings.region)
        except ValueError as error:
            self.counts.refused += 1
            self._refuse(str(error))
            self._node.get_logger().warning(f"image dropped: {self.refusal}", throttle_duration_sec=5.0)
            return
        self.refusal = ""
        self.times.wait.append((start - waiting.since) * 1e3)
        self.times.engine.append((time.perf_counter() - engine_start) * 1e3)
        self._finish(waiting, frame, detections, settings)

    def _is_too_old(self, header: Header, settings: DetectionSettings) -> bool:
        if not settings.max_input_age:
            return False
        stamp = nanoseconds(header.stamp)
        if not stamp:
            return False
        age = (self._node.get_clock().now().nanoseconds - stamp) / 1e9
        if not settings.too_old(age):
            return False
        self.counts.too_old += 1
        self._refuse(f"{age:.3g} s old, max_input_age is {settings.max_input_age:g} s")
        self._node.get_logger().warning(f"image dropped: {self.refusal}", throttle_duration_sec=5.0)
        return True

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self._on_refusal(f"image dropped: {reason}")

    def _finish(
        self, waiting: _Waiting, frame: Frame, detections: Detections, settings: DetectionSettings
    ) -> None:
        with self._publishing:
            if not self._is_current(waiting):
                self.counts.discarded += 1
                return
            start, header = time.perf_counter(), waiting.message.header
            self._results.publish(header, detections, settings)
            end = time.perf_counter()
            self.counts.processed += 1
            self.times.publish.append((end - start) * 1e3)
            if waiting.age is not None:
                self.times.latency.append(waiting.age + (end - waiting.since) * 1e3)
        publish_drawn = self._results.draw(header, frame, detections, settings)
        if publish_drawn is None:
            return
        with self._publishing:
            if self._is_current(waiting):
                publish_drawn()

    def _is_current(self, waiting: _Waiting) -> bool:
        return self._is_open and waiting.session == self._session
