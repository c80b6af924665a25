"""DetectedFrame: the value that travels from the engine to the outputs."""

from __future__ import annotations

from dataclasses import dataclass

from std_msgs.msg import Header

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.node.settings import DetectionSettings


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """One image and its detections.

    Attributes:
        header: Header of the image message, copied bit for bit into every result.
        frame: Image, often a view of the message's bytes.
        detections: Boxes in pixels of the image.
        settings: Live parameters at the time of the detection.
    """

    header: Header
    frame: Frame
    detections: Detections
    settings: DetectionSettings
