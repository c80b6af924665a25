"""Compressed images: JPEG and PNG to pixels and back, through OpenCV.

The input is not trusted: its size is read from its first bytes, before memory is allocated for its pixels, and the
chunks of a PNG are as long as they declare, because OpenCV allocates up to 2 GiB for a chunk before it reads it.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.frame import ChannelOrder, FrameError
from trt_ssd_ros.images.jpeg import jpeg_size

MAX_PIXELS = 1 << 26
"""Largest decoded image in pixels, 8192x8192."""
MAX_JPEG_SIDE = 65500
"""Longest side in pixels that libjpeg writes."""
JPEG_QUALITY = 80
_PNG = b"\x89PNG\r\n\x1a\n"


def decode_image(data: Any, name: str) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG or PNG image, also if it is grey or 16-bit, as (H, W, 3) bgr uint8.

    Args:
        data: Encoded bytes, any object with a buffer.
        name: Format that the message names, for the error message.

    Raises:
        FrameError: The data is neither JPEG nor PNG, is truncated, or has too many pixels.
    """
    view = memoryview(data).cast("B")
    size = _png_size(view) or jpeg_size(view)
    if size is None:
        raise FrameError(
            f"compressed image of format {name!r} begins with {bytes(view[:4])!r}: expected a complete JPEG or PNG"
        )
    width, height = size
    if not 0 < width * height <= MAX_PIXELS:
        raise FrameError(f"compressed image is {width}x{height}: expected 1 to {MAX_PIXELS} pixels")
    if bytes(view[:8]) == _PNG and (problem := _png_problem(view)):
        raise FrameError(f"compressed image of {width}x{height} is broken: {problem}")
    try:
        pixels = cv2.imdecode(np.frombuffer(view, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(f"compressed image of {width}x{height} is broken: {one_line(error)}") from error
    if pixels is None:
        raise FrameError(f"compressed image of {width}x{height} is broken: {len(view)} bytes cannot be decoded")
    pixels.setflags(write=False)
    return np.asarray(pixels, np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8], channel_order: ChannelOrder, quality: int = JPEG_QUALITY) -> bytes:
    """Return an image (H, W, 3) uint8 as JPEG of a quality from 1 to 100.

    Raises:
        ValueError: A side is too long for JPEG.
    """
    bgr = pixels if channel_order == "bgr" else np.ascontiguousarray(pixels[..., ::-1])
    encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        height, width = pixels.shape[:2]
        raise ValueError(
            f"JPEG: found an image of {width}x{height} pixels, expected sides of at most {MAX_JPEG_SIDE}: "
            "subscribe to the raw images"
        )
    return bytes(data)


def of_size(width: int, height: int) -> str:
    """Return the end of a compressed image's format with the size in pixels of the original image."""
    return f"; of {width}x{height}"


def original_size(name: str, data: Any) -> tuple[int, int] | None:
    """Return width and height in pixels of the image that a compressed image was made from.

    Args:
        name: Format of the compressed image; if it does not end as in `of_size`, its own size counts.
        data: Encoded bytes, any object with a buffer.

    Returns:
        Width and height; None if the data is neither JPEG nor PNG.
    """
    told = re.search(r"; of ([1-9]\d{0,5})x([1-9]\d{0,5})$", name)
    if told:
        return int(told[1]), int(told[2])
    view = memoryview(data).cast("B")
    return _png_size(view) or jpeg_size(view)


def _png_size(data: memoryview) -> tuple[int, int] | None:
    if bytes(data[:8]) != _PNG or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _png_problem(data: memoryview) -> str:
    """Return which chunk of a PNG is longer than the data; empty if none is."""
    position = len(_PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        position += length + 12  # the length, the type and the checksum take 4 bytes each
        if position > len(data):
            return f"a chunk {kind!r} of {length} bytes ends behind the image's {len(data)} bytes"
        if kind == b"IEND":
            break
    return ""
