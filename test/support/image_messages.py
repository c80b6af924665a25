"""Image messages for tests."""

from __future__ import annotations

import itertools

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trt_ssd_ros.node.messages import image_to_msg

_seconds = itertools.count(1)


def blank_image() -> Image:
    """An image with a stamp of its own."""
    return image_to_msg(np.zeros((48, 64, 3), np.uint8), "bgr", Header(stamp=Time(sec=next(_seconds))))
