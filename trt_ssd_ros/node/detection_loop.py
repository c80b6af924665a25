"""DetectionLoop: the executor's image callback, which detects in images and publishes the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rclpy.context import Context
from sensor_msgs.msg import CompressedImage

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import EngineUnavailableError
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.node.camera_channel import TakenImage
from trt_ssd_ros.node.detected_frame import DetectedFrame
from trt_ssd_ros.node.image_reader import Decoders, read_image
from trt_ssd_ros.node.opened_model import OpenedModel
from trt_ssd_ros.node.settings import DetectionSettings


@dataclass(frozen=True, eq=False)
class ReadImage:
    """Image that is ready for the engine.

    Attributes:
        taken: Image message and its channel.
        frame: Image.
        settings: Live parameters of the camera.
    """

    taken: TakenImage
    frame: Frame
    settings: DetectionSettings

    def fits(self, other: ReadImage) -> bool:
        """Return whether both images can be in one batch: the graph takes one set of thresholds."""
        return self.settings.thresholds == other.settings.thresholds


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
        self._decoders = Decoders(model.cpu_threads)

    def process(self, images: Sequence[TakenImage]) -> None:
        """Detect in one image of each camera, in as few batches as possible, and publish the detections."""
        self.attempt(lambda: self._detect(images))

    def attempt(self, work: Callable[[], None]) -> None:
        """Run a function that uses the engine; if it fails, end the node."""
        try:
            work()
        except Exception as error:
            if self._context.ok():
                self._fail(f"detection failed, the node exits: {type(error).__name__}: {error}")

    def _detect(self, images: Sequence[TakenImage]) -> None:
        detector = self._model.detector
        if detector is None:  # model and channels were closed after the images were taken
            for taken in images:
                taken.channel.counts.discarded += 1
            return
        compressed = sum(isinstance(taken.message, CompressedImage) for taken in images)
        read = [image for image in self._decoders.map(_read, images, compressed) if image is not None]
        while read:
            batch = [image for image in read if image.fits(read[0])]
            read = [image for image in read if image not in batch]
            _publish_batch(detector, batch)


def _read(taken: TakenImage) -> ReadImage | None:
    """Return an image for the engine; None if it is too old or cannot be read, which the channel counts."""
    settings = taken.channel.settings.current
    if taken.channel.is_too_old(taken.message.header, settings):
        return None
    try:
        frame = read_image(taken.message)
        height, width = frame.size
        settings.views.windows(width, height)
    except ValueError as error:
        taken.channel.refuse(str(error))
        return None
    return ReadImage(taken, frame, settings)


def _publish_batch(detector: Detector, batch: Sequence[ReadImage]) -> None:
    """Detect in images that fit each other, and publish; if the engine refuses one, only that one is dropped."""
    start = time.perf_counter()
    detector.thresholds = batch[0].settings.thresholds
    try:
        waits = detector.start_frames([(image.frame, image.settings.views) for image in batch])
    except (EngineUnavailableError, ValueError) as error:
        if len(batch) > 1 and isinstance(error, ValueError):
            for image in batch:
                _publish_batch(detector, [image])
            return
        for image in batch:
            image.taken.channel.refuse(str(error))
        return
    for image, wait in zip(batch, waits, strict=True):
        try:
            detections = wait()
        except (EngineUnavailableError, ValueError) as error:
            image.taken.channel.refuse(str(error))
        else:
            _publish(image, detections, (time.perf_counter() - start) * 1e3)


def _publish(image: ReadImage, detections: Detections, milliseconds: float) -> None:
    channel, message = image.taken.channel, image.taken.message
    channel.times.engine.append(milliseconds)
    found = DetectedFrame(message.header, image.taken.time_ns, image.frame, detections, image.settings)
    channel.publish(image.taken, found)
