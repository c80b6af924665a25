"""Conversion of the project's values to ROS messages."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.calibration import Calibration
from trt_ssd_ros.images.frame import ChannelOrder

CLASS_ID_FORMATS = ("name", "id")


def detections_to_msg(detections: Detections, header: Header, class_ids: Sequence[str]) -> Detection2DArray:
    """Return the message for one image's detections.

    Args:
        detections: Boxes in pixels of the source image.
        header: Header of the source image, copied into the array and into each detection.
        class_ids: Content of `class_id` for each class.
    """
    columns = (detections.class_ids, detections.scores, detections.boxes)
    found = zip(*(column.tolist() for column in columns), id_texts(detections), strict=True)
    message = Detection2DArray(header=header)
    message.detections = [
        _detection(header, class_ids[class_id], score, box, name) for class_id, score, box, name in found
    ]
    return message


def id_texts(detections: Detections) -> list[str]:
    """Return the content of `id` for each detection; empty for an object without an id."""
    return [""] * len(detections) if detections.ids is None else detections.ids.tolist()


def _detection(header: Header, class_id: str, score: float, box: Sequence[float], name: str) -> Detection2D:
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id = class_id
    result.hypothesis.score = score
    detection = Detection2D(header=header, results=[result], id=name)
    x1, y1, x2, y2 = box
    centre = detection.bbox.center.position
    centre.x, centre.y = (x1 + x2) / 2, (y1 + y2) / 2
    detection.bbox.size_x, detection.bbox.size_y = x2 - x1, y2 - y1
    return detection


def label_info_to_msg(names: Mapping[int, str], threshold: float, header: Header) -> LabelInfo:
    """Return the message that maps class ids to names; threshold is the lowest reported score."""
    classes = [VisionClass(class_id=class_id, class_name=name) for class_id, name in names.items()]
    return LabelInfo(header=header, class_map=classes, threshold=threshold)


def image_to_msg(pixels: NDArray[np.uint8], channel_order: ChannelOrder, header: Header) -> Image:
    """Return the message for an image (H, W, 3) uint8."""
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=f"{channel_order}8", step=3 * width)
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(pixels)).cast("B"))
    message.data = data
    return message


def compressed_to_msg(jpeg: bytes, header: Header, note: str = "") -> CompressedImage:
    """Return the message for a JPEG made from a bgr8 image, with a note at the end of its format."""
    message = CompressedImage(header=header, format=f"bgr8; jpeg compressed bgr8{note}")
    message.data = array.array("B", jpeg)
    return message


def camera_info_to_msg(calibration: Calibration | None, width: int, height: int, header: Header) -> CameraInfo:
    """Return the camera_info of an image; without a calibration for its size, it holds only the size in pixels."""
    message = CameraInfo(header=header, height=height, width=width)
    if calibration is None or (calibration.width, calibration.height) != (width, height):
        return message
    message.distortion_model, message.d = calibration.model, list(calibration.distortion)
    message.k, message.r = list(calibration.camera_matrix), list(calibration.rectification)
    message.p = list(calibration.projection)
    return message
