"""Compressed images: JPEG and PNG to pixels and back, through OpenCV.

The input is not trusted: its size is read from its first bytes, before memory is allocated for its pixels.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.frame import ChannelOrder, FrameError

MAX_PIXELS = 1 << 26
"""Largest decoded image in pixels, 8192x8192."""
JPEG_QUALITY = 80
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # these markers between C0 and CF begin tables, not a frame


def decode_image(data: Any, name: str) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG or PNG image, also if it is grey or 16-bit, as (H, W, 3) bgr uint8.

    Args:
        data: Encoded bytes, any object with a buffer.
        name: Format that the message names, for the error message.

    Raises:
        FrameError: The data is neither JPEG nor PNG, is truncated, or has too many pixels.
    """
    view = memoryview(data).cast("B")
    size = _png_size(view) or _jpeg_size(view)
    if size is None:
        raise FrameError(
            f"compressed image of format {name!r} begins with {bytes(view[:4])!r}: expected a complete JPEG or PNG"
        )
    width, height = size
    if not 0 < width * height <= MAX_PIXELS:
        raise FrameError(f"compressed image is {width}x{height}: expected 1 to {MAX_PIXELS} pixels")
    try:
        pixels = cv2.imdecode(np.frombuffer(view, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(f"compressed image of {width}x{height} is broken: {one_line(error)}") from error
    if pixels is None:
        raise FrameError(f"compressed image of {width}x{height} is broken: {len(view)} bytes cannot be decoded")
    pixels.setflags(write=False)
    return np.asarray(pixels, np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8], channel_order: ChannelOrder) -> bytes:
    """Return an image (H, W, 3) uint8 as JPEG."""
    bgr = pixels if channel_order == "bgr" else np.ascontiguousarray(pixels[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)


def _png_size(data: memoryview) -> tuple[int, int] | None:
    if bytes(data[:8]) != _PNG or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: memoryview) -> tuple[int, int] | None:
    """Return the size in the frame header of a JPEG, found by following the segments."""
    if bytes(data[:2]) != _JPEG:
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None
