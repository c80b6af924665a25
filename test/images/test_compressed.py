"""JPEG and PNG, whole, broken and hostile."""

from __future__ import annotations

import array
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.images.compressed import decode_image, encode_jpeg
from trt_ssd_ros.images.frame import FrameError

RAMP = np.dstack([np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)] * 3)


def encoded(extension: str, pixels: np.ndarray = RAMP) -> bytes:
    return bytes(cv2.imencode(extension, pixels)[1])


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and has no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(("extension", "difference"), [(".png", 0), (".jpg", 8)])
def test_decodes(extension, difference):
    data = encoded(extension)
    for held in (data, array.array("B", data), np.frombuffer(data, np.uint8)):
        pixels = decode_image(held, "jpeg")
        assert (pixels.shape, pixels.dtype, pixels.flags.writeable) == (RAMP.shape, np.uint8, False)
        assert np.abs(pixels.astype(int) - RAMP).max() <= difference


def test_grey_and_deep_images_become_bgr():
    np.testing.assert_array_equal(decode_image(encoded(".png", RAMP[..., 0]), "png"), RAMP)
    deep = RAMP.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_image(encoded(".png", deep), "png"), RAMP)
    assert decode_image(encoded(".jpg", RAMP[..., 0]), "jpeg").shape == RAMP.shape


def test_encodes_either_order():
    colours = np.full((16, 16, 3), (200, 100, 0), np.uint8)
    for order, pixels in (("bgr", colours), ("rgb", colours[..., ::-1])):
        decoded = decode_image(encode_jpeg(pixels, order), "jpeg")  # type: ignore[arg-type]
        assert np.abs(decoded.astype(int) - colours).max() <= 8


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected a complete JPEG or PNG"),
        (b"GIF89a" + bytes(50), "GIF8"),
        (encoded(".jpg")[:20], "expected a complete JPEG or PNG"),
        (encoded(".png")[:60], "broken"),
        (
            encoded(".png").replace(b"IEND", b"IDAT")[:-12] + struct.pack(">I", 2**31 - 1) + b"IDAT",
            "2147483647 bytes",
        ),
        (png_header(0, 10), "0x10"),
        (png_header(60000, 60000), "60000x60000"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65535, 65535) + bytes(20), "65535x65535"),
    ],
)
def test_says_what_is_wrong(data, said):
    with pytest.raises(FrameError, match=said):
        decode_image(data, "odd")


@settings(max_examples=200)
@given(data=st.data())
def test_survives_any_damage(data):
    whole = bytearray(encoded(data.draw(st.sampled_from([".png", ".jpg"]))))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(FrameError):
        assert decode_image(damaged, "damaged").ndim == 3
