"""Encoder of Detection2DArray messages: serialises detections without a message object for each of them.

Building and serialising the objects of ten detections costs ten times as much: each detection has a dozen nested
objects, among them a pose with 36 covariances, and rclpy reads every field of them by its name.

`ros/cdr.py` describes the format.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from rclpy.serialization import deserialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.node.messages import detections_to_msg, id_texts

LITTLE_ENDIAN = b"\0\1\0\0"
"""Encapsulation header."""
STAMP, COUNT = struct.Struct("<iI"), struct.Struct("<I")
ONE = COUNT.pack(1)
NUMBERS = np.zeros(49, "<f8")
"""Numbers of a detection: score, position, quaternion, 36 covariances, centre, angle, width and height."""
SCORE, QUATERNION_W, CENTRE, SIZE = 0, 7, slice(44, 46), slice(47, 49)
NUMBERS[QUATERNION_W] = 1.0


def encode_detections(detections: Detections, header: Header, class_ids: Sequence[str]) -> bytes:
    """Return the serialised message for one image's detections; see `detections_to_msg`."""
    stamp, count = STAMP.pack(header.stamp.sec, header.stamp.nanosec), len(detections)
    frame = _text(header.frame_id)
    parts = [LITTLE_ENDIAN, stamp, frame, COUNT.pack(count)]
    if not count:
        return b"".join(parts)
    numbers, step = _numbers(detections), NUMBERS.nbytes
    end = STAMP.size + len(frame) + COUNT.size
    found = zip(detections.class_ids.tolist(), id_texts(detections), strict=True)
    for index, (class_id, text) in enumerate(found):
        begin, name = end + -end % 4, _last_text(text)
        names = _names(header.frame_id, class_ids[class_id], begin % 8)
        parts += (bytes(begin - end), stamp, names, numbers[index * step : (index + 1) * step], name)
        end = begin + STAMP.size + len(names) + step + len(name)
    return b"".join(parts)


def _numbers(detections: Detections) -> bytes:
    """Return the numbers of all detections."""
    numbers, boxes = NUMBERS[None].repeat(len(detections), axis=0), detections.boxes.astype(np.float64)
    numbers[:, SCORE] = detections.scores
    numbers[:, CENTRE] = (boxes[:, :2] + boxes[:, 2:]) / 2
    numbers[:, SIZE] = boxes[:, 2:] - boxes[:, :2]
    return numbers.tobytes()


@lru_cache(maxsize=1024)
def _names(frame_id: str, class_id: str, begin: int) -> bytes:
    """Return a detection's bytes between its stamp and its numbers, if it begins at 8 n + `begin`."""
    names = _text(frame_id) + ONE + _text(class_id)
    return names + bytes(-(begin + len(names)) % 8)


@lru_cache(maxsize=1024)
def _text(text: str) -> bytes:
    """Return a text, padded for the number behind it."""
    data = _last_text(text)
    return data + bytes(-len(data) % 4)


@lru_cache(maxsize=1024)
def _last_text(text: str) -> bytes:
    """Return a text without padding."""
    data = text.encode() + b"\0"
    return COUNT.pack(len(data)) + data


@cache
def encoder_fits() -> bool:
    """Return whether the messages of this installation have the fields and the format that the encoder writes."""
    header = Header(frame_id="frame")
    header.stamp.sec, header.stamp.nanosec = -5, 7
    boxes = np.array([[1, 2, 4, 8], [16, 32, 64, 128], [3, 5, 7, 9]], np.float32)
    scores, ids = np.array([0.75, 0.5, 0.25], np.float32), np.array(["s-1", "", "s.2-12"])
    sample = Detections(boxes, scores, np.array([0, 1, 2], np.int32), ids)
    names = ("a", "four", "é ü")
    try:
        found = deserialize_message(encode_detections(sample, header, names), Detection2DArray)
    except Exception:  # rclpy and the type support raise various exceptions for bytes of another type
        return False
    return bool(found == detections_to_msg(sample, header, names))
