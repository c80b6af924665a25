"""Image messages, read from their serialised form: raw images as views, compressed ones as messages."""

from __future__ import annotations

import array
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from trt_ssd_ros.ros.cdr import CdrReader


@dataclass(frozen=True, slots=True, eq=False)
class ImageView:
    """Fields of a `sensor_msgs/Image`; `data` is a view of the serialised message, without a copy."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def read_raw(message: memoryview) -> ImageView:
    """Return a serialised `sensor_msgs/Image`.

    Raises:
        ValueError: The bytes are no such message.
    """
    fields = CdrReader(message)
    header = _header(fields)
    height, width = fields.numbers("II")
    encoding = fields.text()
    (is_bigendian,) = fields.numbers("B", 1)
    (step,) = fields.numbers("I")
    return ImageView(header, height, width, encoding, is_bigendian, step, fields.octets())


def read_compressed(message: memoryview) -> CompressedImage:
    """Return a serialised `sensor_msgs/CompressedImage`.

    Raises:
        ValueError: The bytes are no such message.
    """
    fields = CdrReader(message)
    header, format_ = _header(fields), fields.text()
    data = array.array("B")
    data.frombytes(fields.octets())
    return CompressedImage(header=header, format=format_, data=data)


def _header(fields: CdrReader) -> Header:
    seconds, nanoseconds = fields.numbers("iI")
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=fields.text())
