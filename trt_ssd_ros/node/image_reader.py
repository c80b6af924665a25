"""Image reader: pixels of an image message, raw or compressed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sensor_msgs.msg import CompressedImage

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import Frame, FrameError, UnsupportedEncodingError, frame_from_message
from trt_ssd_ros.node.composed_input import CapturedImage
from trt_ssd_ros.node.image_messages import ImageView

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_DECODERS = 8
"""Most threads that decode the images of a batch, unless `cpu_threads` is given."""


def read_image(message: ImageView | CompressedImage | CapturedImage) -> Frame:
    """Return the pixels of an image, as a view of the message where its layout allows.

    If `frame_from_message` does not know the encoding and cv_bridge is installed, cv_bridge converts the image.

    Raises:
        FrameError: The image cannot be read; the message names what was found and what was expected.
    """
    if isinstance(message, CapturedImage):
        return message.frame
    if isinstance(message, CompressedImage):
        return Frame(decode_image(message.data, message.format), "bgr")
    try:
        return frame_from_message(message)
    except UnsupportedEncodingError as unsupported:
        try:
            from cv_bridge import CvBridge  # noqa: PLC0415 - optional, and heavy

            return Frame(CvBridge().imgmsg_to_cv2(message, desired_encoding="bgr8"), "bgr")
        except ImportError:
            raise unsupported from None
        except Exception as error:  # CvBridgeError, or any error of NumPy and OpenCV inside it
            reason = one_line(error)
            raise FrameError(f"{unsupported}; cv_bridge cannot convert it either: {reason}") from error


class Decoders:
    """Threads that decode the compressed images of a batch: OpenCV releases the GIL.

    Args:
        most: Most threads, with the calling one; 0: the number of cores, and at most MAX_DECODERS.
    """

    def __init__(self, most: int) -> None:
        self._most = most or min(len(os.sched_getaffinity(0)), MAX_DECODERS)
        self._pool: ThreadPoolExecutor | None = None

    def map(self, read: Callable[[Item], Result], items: Sequence[Item], compressed: int) -> list[Result]:
        """Return the results of `read`, in order; in the calling thread, unless several items are compressed."""
        if compressed < 2 or self._most < 2:
            return [read(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most - 1, "decode")
        others = [self._pool.submit(read, item) for item in items[1:]]
        return [read(items[0]), *(other.result() for other in others)]
