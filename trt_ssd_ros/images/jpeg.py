"""JPEG files: the size in their header, and decoding at a fraction of it.

A decoder that computes 4x4, 2x2 or 1x1 pixels of each block of 8x8 gives a picture of 1/2, 1/4 or 1/8 of the size
at a fraction of the cost, each pixel the mean of those that it stands for.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

START = b"\xff\xd8"
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
"""OpenCV's flags by the factor that divides both sides, largest first."""
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # these markers between C0 and CF begin tables, not a frame


def jpeg_size(data: memoryview) -> tuple[int, int] | None:
    """Return width and height in the frame header of a JPEG, found by following the segments; None: no header."""
    if bytes(data[:2]) != START:
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def decode_reduced(data: bytes, least: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
    """Decode a JPEG to the smallest picture of at least a size, rotated by its EXIF orientation.

    Args:
        data: File content.
        least: Least width and height in pixels.

    Returns:
        BGR pixels (H, W, 3) uint8, and height and width in pixels of the whole image, rotated as well; None if the
        data is no JPEG, or must be decoded whole.

    Raises:
        cv2.error: OpenCV cannot decode the data.
    """
    size = jpeg_size(memoryview(data))
    factor = size and _factor(size, least)
    if not size or not factor:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[factor])
    width, height = size
    for whole in ((height, width), (width, height)):
        if pixels is not None and pixels.shape[:2] == _divided(whole, factor):
            return np.asarray(pixels, np.uint8), whole
    return None


def _factor(size: tuple[int, int], least: tuple[int, int]) -> int | None:
    """Return the largest factor that leaves enough pixels, also if the image is rotated by a quarter turn.

    Only OpenCV knows whether it rotates, so the shape of the reduced picture must show it.
    """
    for factor in REDUCED:
        sides = _divided(size, factor)
        if min(sides) >= max(least) and (size[0] == size[1] or sides[0] != sides[1]):
            return factor
    return None


def _divided(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return the sides of the reduced picture, which libjpeg rounds up."""
    return -(-size[0] // factor), -(-size[1] // factor)
