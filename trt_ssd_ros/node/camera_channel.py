"""CameraChannel: input, settings, frame counts and outputs of one camera."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from std_msgs.msg import Header

from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.activation_log import ActivationLog, Durations
from trt_ssd_ros.node.channel_input import ChannelInput
from trt_ssd_ros.node.detected_frame import DetectedFrame, Stage
from trt_ssd_ros.node.diagnostics import StageTimes
from trt_ssd_ros.node.frame_counts import FrameCounts, RecentCounts
from trt_ssd_ros.node.image_input import ImageInput
from trt_ssd_ros.node.input_doctor import StampWatch
from trt_ssd_ros.node.outputs import Outputs
from trt_ssd_ros.node.settings import DetectionParameters, DetectionSettings
from trt_ssd_ros.node.tracking_stage import TrackingStage
from trt_ssd_ros.ros.parameters import ParameterNode
from trt_ssd_ros.ros.stamps import nanoseconds, now_of

NewInput = Callable[[ParameterNode, str, "CameraChannel", str, str, Callable[[], None]], ChannelInput]
"""Constructor of an input, with the arguments of `ImageInput`."""


@dataclass(frozen=True, eq=False)
class TakenImage:
    """An image message that the executor took.

    Attributes:
        channel: Channel of the camera.
        message: Image message, raw or compressed, or a CapturedImage.
        session: Number of the channel's opening in which the image was taken.
        since: Time when the image was taken, in seconds of time.perf_counter.
        time_ns: Stamp of the image in nanoseconds; without one, the time when it was taken, on the node's clock.
        age: Age in ms when the image was taken, on the node's clock; None if the image has no stamp.
    """

    channel: CameraChannel
    message: Any
    session: int
    since: float
    time_ns: int
    age: float | None


@dataclass(frozen=True)
class ChannelOptions:
    """Options of a channel that are fixed at the start.

    Attributes:
        camera: Name of the camera, with which its topics begin; empty: the node's only camera.
        transport: Image transport, raw or compressed.
        reliability: Reliability of the image subscription; see `ImageInput`.
        annotations: Whether to publish `annotations`.
        new_input: Kind of the input.
    """

    camera: str = ""
    transport: str = "raw"
    reliability: str = "auto"
    annotations: bool = False
    new_input: NewInput = ImageInput

    @property
    def prefix(self) -> str:
        """Beginning of the names of the camera's topics and services."""
        return f"{self.camera}/" if self.camera else ""


class CameraChannel:
    """One camera of the node.

    The main thread opens and closes the channel; the executor's thread takes, detects and publishes. After `close`
    returns, the channel publishes nothing.

    Args:
        node: Node that subscribes, publishes and declares the parameters.
        settings: Live parameters of the camera.
        card: Model card with the class names and ids.
        options: Options that are fixed at the start.
        changed: Called when the executor has to list its inputs again.
        refused: Called with the reason when an image is dropped.

    Attributes:
        name: Name of the camera; empty for the node's only one.
        enabled: Whether the camera takes images while the node is active.
        logger: Logger of the camera.
        input: Image input.
        settings: Live parameters.
        counts: Frame counts.
        recent: Growth of the frame counts over the last seconds; `update` adds to it, because only `update` raises
            `dropped`.
        times: Times of the stages, in ms.
        stamps: Checks of the image stamps.
        tracking: Stage that gives objects ids.
        outputs: Published topics.
        refusal: Reason why the newest image was dropped; empty if it was not.
    """

    def __init__(
        self,
        node: ParameterNode,
        settings: DetectionParameters,
        card: ModelCard,
        options: ChannelOptions,
        changed: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        self.name = options.camera
        self.enabled = True
        self.settings = settings
        self.counts = FrameCounts()
        self.recent = RecentCounts()
        self.times = StageTimes()
        self.stamps = StampWatch()
        self.refusal = ""
        self.outputs = Outputs(node, card, options.annotations, options.prefix)
        self.input: ChannelInput = options.new_input(
            node, f"{options.prefix}image", self, options.transport, options.reliability, changed
        )
        self._clock = node.get_clock()
        self.logger = node.get_logger().get_child(self.name) if self.name else node.get_logger()
        self.tracking = TrackingStage(self.logger, refused)
        self._stages: list[Stage] = [self.tracking]
        self._log = ActivationLog(self.logger, card.labels)
        self._refused = refused
        self._rate_limit = RateLimit()
        self._publishing = Lock()
        self._session = 0
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether the channel takes images."""
        return self._is_open

    def open(self) -> None:
        """Subscribe; if the channel is open, do nothing."""
        with self._publishing:
            if not self._is_open:
                self._session += 1
                self.stamps.forget()
                for stage in self._stages:
                    stage.begin()
                self._log.begin(self.counts)
            self._is_open = True
        self.input.open()

    def close(self) -> None:
        """Unsubscribe; results of an image that is in the engine are discarded."""
        with self._publishing:
            self._is_open = False
        self.input.close()

    def report(self) -> None:
        """Log the counts since the channel was opened; call it after `close` and the last `update`."""
        self._log.end(self.counts)

    def update(self) -> None:
        """Count the images that were not taken; call it once a second."""
        self.input.count_missed(self.counts)
        now = now_of(self._clock) / 1e9
        self.recent.add(now, self.counts)
        self._log.measure_rate(now, self.counts)

    @property
    def batch_key(self) -> Thresholds:
        """Thresholds: the graph takes one set for the images of a batch; see `Receiver.batch_key`."""
        return self.settings.current.thresholds

    @property
    def views(self) -> int:
        """Number of views of an image; see `Receiver.views`."""
        return self.settings.current.views.count

    def throttle_delay(self, now: float) -> float:
        """Return the seconds until `max_rate` admits an image; see `Receiver.throttle_delay`."""
        return self._rate_limit.wait(self.settings.current.max_rate, now)

    def receive(self, message: Any) -> TakenImage:
        """Record an image that was taken; see `Receiver.receive`."""
        self._rate_limit.admits(self.settings.current.max_rate, time.monotonic())
        self.counts.taken += 1
        now, stamp = now_of(self._clock), nanoseconds(message.header.stamp)
        back = self.stamps.note(stamp, now)
        if back:
            self.logger.info(f"the clock went back by {back:.3g} s: ages and rates start again")
            self.times.clear()
        age = (now - stamp) / 1e6 if stamp > 0 else None
        if age is not None:
            self.times.age.append(age)
        return TakenImage(self, message, self._session, time.perf_counter(), stamp or now, age)

    def is_too_old(self, header: Header, settings: DetectionSettings) -> bool:
        """Return whether an image is older than `max_input_age`; if it is, count and log it."""
        if not settings.max_input_age:
            return False
        stamp = nanoseconds(header.stamp)
        if not stamp:
            return False
        age = (now_of(self._clock) - stamp) / 1e9
        if not settings.too_old(age):
            return False
        self.counts.too_old += 1
        text = self._drop(f"{age:.3g} s old, max_input_age is {settings.max_input_age:g} s")
        self.logger.warning(text, throttle_duration_sec=5.0)
        return True

    def reject(self, reason: str) -> None:
        """Count an image whose message cannot be deserialised; see `Receiver.reject`."""
        self.counts.taken += 1
        self.refuse(reason)

    def refuse(self, reason: str) -> None:
        """Count an image that cannot be read, and log the reason."""
        self.counts.refused += 1
        self.logger.warning(self._drop(reason), throttle_duration_sec=5.0)

    def _drop(self, reason: str) -> str:
        """Record why the newest image was dropped, and return the log line."""
        # The callers log it: rclpy throttles by the place of the call, and each kind of drop has its own place.
        self.refusal = reason
        text = f"image dropped: {reason}"
        self._refused(text)
        return text

    def publish(self, taken: TakenImage, found: DetectedFrame) -> None:
        """Publish the detections of an image, unless the channel was closed since the image was taken.

        Debug images are drawn only while they have a subscriber, and after the detections are published.
        """
        self.refusal = ""
        with self._publishing:
            if not self._is_current(taken):
                self.counts.discarded += 1
                return
            detected = time.perf_counter()
            found = self._through_stages(found)
            start = time.perf_counter()
            self.outputs.detections.publish(self.outputs.detections.message(found))
            end = time.perf_counter()
            self.counts.processed += 1
            self.times.publish.append((end - start) * 1e3)
            if taken.age is not None:
                self.times.latency.append(taken.age + (end - taken.since) * 1e3)
        self._log.note(self.input.origin, taken.message, found)
        self._publish_optional(taken, found)
        if self._log.is_verbose:
            engine, optional = self.times.engine[-1], (time.perf_counter() - end) * 1e3
            read = (detected - taken.since) * 1e3 - engine
            self._log.trace(found, Durations(taken.age, read, engine, (end - start) * 1e3, optional))

    def _through_stages(self, found: DetectedFrame) -> DetectedFrame:
        start = time.perf_counter()
        for stage in self._stages:
            found = stage.process(found)
        if found.settings.tracker is not None:
            self.times.track.append((time.perf_counter() - start) * 1e3)
        return found

    def _publish_optional(self, taken: TakenImage, found: DetectedFrame) -> None:
        for output in self.outputs.optional:
            if not output.is_due(found):
                continue
            try:
                message = output.message(found)
            except ValueError as error:
                self.logger.warning(str(error), throttle_duration_sec=5.0)
                continue
            with self._publishing:
                if self._is_current(taken):
                    output.publish(message)

    def _is_current(self, taken: TakenImage) -> bool:
        return self._is_open and taken.session == self._session
