"""DetectedFrame: the value that travels from the engine through the stages to the outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from std_msgs.msg import Header

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.node.settings import DetectionSettings


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """One image and its detections.

    Attributes:
        header: Header of the image message, copied bit for bit into every result.
        time_ns: Time of the image in nanoseconds: its stamp, or, without one, when the node received it.
        frame: Image, often a view of the message's bytes.
        detections: Boxes in pixels of the image.
        settings: Live parameters at the time of the detection.
    """

    header: Header
    time_ns: int
    frame: Frame
    detections: Detections
    settings: DetectionSettings


class Stage(Protocol):
    """Step between the engine and the outputs of one camera, in the executor's thread."""

    def begin(self) -> None:
        """Forget the images before: the camera was opened again."""

    def process(self, found: DetectedFrame) -> DetectedFrame:
        """Return an image with its detections changed."""
