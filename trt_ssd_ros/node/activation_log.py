"""ActivationLog: the log of one activation: its first events, its counts, and each image at DEBUG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import LoggingSeverity
from sensor_msgs.msg import CompressedImage

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.node.detected_frame import DetectedFrame
from trt_ssd_ros.node.frame_counts import FrameCounts

LISTED = 5
"""Most detections that the INFO line lists."""
MIN_IMAGES, MAX_SECONDS = 5, 5.0
"""Images that make a rate; in MAX_SECONDS, one is enough."""


@dataclass(frozen=True)
class Durations:
    """Times of one image's stages in ms.

    Attributes:
        age: Time from the stamp to taking the image; None if the image has no stamp.
        read: Time from taking the image to its pixels.
        engine: Time from pixels to detections.
        publish: Time from detections to the published message.
        optional: Time of the topics that are published only while they have a subscriber.
    """

    age: float | None
    read: float
    engine: float
    publish: float
    optional: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {ms:.1f} ms" for name, ms in vars(self).items() if ms is not None)


class ActivationLog:
    """Writer of the log lines of one camera, from the subscription to its end.

    Args:
        logger: Logger of the node.
        labels: Name of each class id.
    """

    def __init__(self, logger: RcutilsLogger, labels: Sequence[str]) -> None:
        self._logger = logger
        self._labels = labels
        self._before: FrameCounts | None = None
        self._awaited: set[str] = set()
        self._rate_from: tuple[float, FrameCounts] | None = None

    def begin(self, counts: FrameCounts) -> None:
        """Start an activation, in which the first events are logged again."""
        self._before, self._rate_from = replace(counts), None
        self._awaited = {"image", "detections", "rate"}

    def note(self, origin: str, message: Any, found: DetectedFrame) -> None:
        """Log the first image, and the first image with detections."""
        if "image" in self._awaited:
            self._awaited.discard("image")
            height, width = found.frame.size
            encoding = message.format if isinstance(message, CompressedImage) else message.encoding
            self._logger.info(f"first image {origin}: {width}x{height} {encoding}")
        if "detections" in self._awaited and len(found.detections):
            self._awaited.discard("detections")
            self._logger.info(f"first detections: {self._listed(found.detections, LISTED)}")

    def measure_rate(self, now: float, counts: FrameCounts) -> None:
        """Log the rates once, from the counts of about the first second after the first image.

        Args:
            now: Time in seconds on the node's clock.
            counts: Frame counts, with `dropped` up to now.
        """
        if "rate" not in self._awaited or "image" in self._awaited:
            return
        if self._rate_from is None or now < self._rate_from[0]:
            self._rate_from = now, replace(counts)
        began, before = self._rate_from
        seconds, received = now - began, counts.received - before.received
        if seconds <= 0 or received < (1 if seconds >= MAX_SECONDS else MIN_IMAGES):
            return
        self._awaited.discard("rate")
        arriving = "" if counts.numbered is False else f"images arrive at {received / seconds:.1f} Hz, "
        self._logger.info(
            f"{arriving}detections leave at {(counts.processed - before.processed) / seconds:.1f} Hz"
        )

    def end(self, counts: FrameCounts) -> None:
        """Log the counts of the activation; after its end, do nothing."""
        before, self._before, self._awaited = self._before, None, set()
        if before is None:
            return
        names = ("processed", "dropped", "refused", "rate_limited", "too_old")
        grown = {name: getattr(counts, name) - getattr(before, name) for name in names}
        # An image that is in the engine counts as discarded only once the engine is done.
        read = grown["processed"] + grown["refused"] + grown["too_old"]
        grown["discarded"] = counts.taken - before.taken - read
        parts = [f"{number} {name.replace('_', ' ')}" for name, number in grown.items() if number]
        received = counts.received - before.received
        self._logger.info(f"stopped after {received} images{': ' if parts else ''}{', '.join(parts)}")

    @property
    def is_verbose(self) -> bool:
        """Whether the node's logger writes DEBUG lines."""
        return bool(self._logger.is_enabled_for(LoggingSeverity.DEBUG))

    def trace(self, found: DetectedFrame, durations: Durations) -> None:
        """Log one image at DEBUG: its stamp, its detections and the times of the stages."""
        stamp = found.header.stamp
        seen = self._listed(found.detections, len(found.detections)) or "no detections"
        self._logger.debug(f"image {stamp.sec}.{stamp.nanosec:09d}: {seen} ({durations})")

    def _listed(self, detections: Detections, most: int) -> str:
        pairs = list(zip(detections.class_ids.tolist(), detections.scores.tolist(), strict=True))
        rest = [f"{len(pairs) - most} more"] if len(pairs) > most else []
        return ", ".join([*(f"{self._labels[index]} {score:.2f}" for index, score in pairs[:most]), *rest])
