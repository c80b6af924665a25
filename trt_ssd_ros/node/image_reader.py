"""Image reader: pixels of an image message, raw or compressed."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import Frame, FrameError, UnsupportedEncodingError, frame_from_message
from trt_ssd_ros.node.composed_input import CapturedImage


def read_image(message: Image | CompressedImage | CapturedImage) -> Frame:
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
