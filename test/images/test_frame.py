"""Every encoding against a reference built pixel by pixel; every malformed message against its one-line error."""

import tracemalloc
from array import array
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.images.frame import (
    SUPPORTED_ENCODINGS,
    Frame,
    FrameError,
    UnsupportedEncodingError,
    frame_from_message,
)

# encoding: bytes of one pixel -> its red, green, blue
PACKED = {
    "rgb8": (3, lambda p: (p[0], p[1], p[2])),
    "bgr8": (3, lambda p: (p[2], p[1], p[0])),
    "8UC3": (3, lambda p: (p[2], p[1], p[0])),
    "rgba8": (4, lambda p: (p[0], p[1], p[2])),
    "bgra8": (4, lambda p: (p[2], p[1], p[0])),
    "8UC4": (4, lambda p: (p[2], p[1], p[0])),
    "mono8": (1, lambda p: (p[0],) * 3),
    "8UC1": (1, lambda p: (p[0],) * 3),
    "mono16": (2, lambda p: (round((p[0] + 256 * p[1]) / 257),) * 3),
}
VIEWED = ("rgb8", "bgr8", "8UC3")
PACKED_YUV = {"uyvy": "UYVY", "yuv422": "UYVY", "yuyv": "YUYV", "yuv422_yuy2": "YUYV"}
PLANAR_YUV = {"nv12": "UV", "nv21": "VU"}


def image_message(
    data: object,
    height: int,
    width: int,
    encoding: str = "bgr8",
    *,
    step: int | None = None,
    is_bigendian: int = 0,
) -> SimpleNamespace:
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=width * PACKED[encoding][0] if step is None else step,
        data=data,
    )


def rgb_of(frame: Frame) -> np.ndarray:
    return frame.pixels if frame.channel_order == "rgb" else frame.pixels[..., ::-1]


def padded(rows: np.ndarray, padding: int) -> bytes:
    """Return the bytes of (rows, bytes) with 0xEE after every row but the last."""
    wide = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE)
    return wide.tobytes()[: wide.size - padding]


def rgb_of_yuv(luma: np.ndarray, blue_chroma: np.ndarray, red_chroma: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) by the textbook's BT.601 with luma in 16..235."""
    y, u, v = 1.164 * (luma - 16.0), blue_chroma - 128.0, red_chroma - 128.0
    rgb = np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], axis=-1)
    return np.clip(rgb, 0, 255)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(PACKED)), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(0, 99)
)
def test_packed_encodings_read_every_pixel_whatever_the_row_padding(encoding, height, width, padding, seed):
    size, rgb_of_bytes = PACKED[encoding]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, size), np.uint8)
    message = image_message(
        padded(pixels.reshape(height, -1), padding), height, width, encoding, step=width * size + padding
    )
    expected = [[rgb_of_bytes([int(b) for b in pixel]) for pixel in row] for row in pixels]
    np.testing.assert_array_equal(rgb_of(frame_from_message(message)), expected)


@pytest.mark.parametrize(("is_bigendian", "order"), [(0, "<u2"), (1, ">u2"), (True, ">u2")])
@pytest.mark.parametrize("start", [0, 1], ids=["aligned", "unaligned"])
def test_mono16_scales_every_value_to_the_nearest_in_either_byte_order(is_bigendian, order, start):
    values = np.arange(65536).reshape(256, 256)
    data = memoryview(bytes(start) + values.astype(order).tobytes())[start:]
    frame = frame_from_message(image_message(data, 256, 256, "mono16", is_bigendian=is_bigendian))
    np.testing.assert_array_equal(frame.pixels, np.repeat(np.rint(values / 257)[..., None], 3, axis=2))


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", PACKED_YUV)
def test_yuv_422_takes_luma_per_pixel_and_chroma_per_pair(encoding, padding):
    y, u, v = np.random.default_rng(1).integers(16, 236, (3, 4, 6), np.uint8)
    u, v = (np.repeat(chroma[:, ::2], 2, axis=1) for chroma in (u, v))
    samples = {"Y": [y[:, ::2], y[:, 1::2]], "U": [u[:, ::2]], "V": [v[:, ::2]]}
    rows = np.stack([samples[name].pop(0) for name in PACKED_YUV[encoding]], axis=-1).reshape(4, 12)
    frame = frame_from_message(image_message(padded(rows, padding), 4, 6, encoding, step=12 + padding))
    np.testing.assert_allclose(rgb_of(frame), rgb_of_yuv(y, u, v), atol=2)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", PLANAR_YUV)
def test_yuv_420_height_counts_luma_rows_only(encoding, padding):
    y, u, v = np.random.default_rng(2).integers(16, 236, (3, 4, 6), np.uint8)
    u, v = (chroma[::2, ::2] for chroma in (u, v))
    chroma = np.stack([{"U": u, "V": v}[name] for name in PLANAR_YUV[encoding]], axis=-1).reshape(2, 6)
    message = image_message(padded(np.vstack([y, chroma]), padding), 4, 6, encoding, step=6 + padding)
    frame = frame_from_message(message)
    u, v = (plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (u, v))
    np.testing.assert_allclose(rgb_of(frame), rgb_of_yuv(y, u, v), atol=2)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize(("height", "width"), [(3, 3), (8, 10)])
def test_bayer_mosaic_of_one_colour_is_that_colour_everywhere(pattern, height, width):
    colour = {"r": 200, "g": 100, "b": 30}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (5, 5))[:height, :width]
    frame = frame_from_message(image_message(mosaic.tobytes(), height, width, f"bayer_{pattern}8", step=width))
    np.testing.assert_array_equal(rgb_of(frame), np.full((height, width, 3), list(colour.values())))


@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_every_supported_encoding_gives_read_only_pixels(encoding):
    frame = frame_from_message(image_message(bytes(6 * 16), 4, 4, encoding, step=16))
    assert (frame.pixels.shape, frame.pixels.dtype, frame.pixels.flags.writeable) == ((4, 4, 3), np.uint8, False)
    assert frame.channel_order == ("rgb" if encoding.startswith("rgb") else "bgr")
    assert encoding in VIEWED or frame.pixels.flags.c_contiguous


HOLDERS = {
    "array.array": lambda data: array("B", data),
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": lambda data: memoryview(bytearray(data)),
    "ndarray": lambda data: np.frombuffer(bytearray(data), np.uint8),
    "2-D ndarray": lambda data: np.frombuffer(bytearray(data), np.uint8).reshape(2, -1),
}


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", VIEWED)
@pytest.mark.parametrize("holder", HOLDERS)
def test_three_channels_are_viewed_without_a_copy(holder, encoding, padding):
    data = HOLDERS[holder](bytes(range(2 * (9 + padding))))
    frame = frame_from_message(image_message(data, 2, 3, encoding, step=9 + padding))
    assert np.shares_memory(frame.pixels, np.frombuffer(data, np.uint8))
    assert frame.pixels[1, 0].tolist() == [9 + padding, 10 + padding, 11 + padding]


def test_reading_a_message_leaves_its_data_writable():
    data = np.zeros(12, np.uint8)
    frame = frame_from_message(image_message(data, 2, 2))
    data[0] = 7
    assert frame.pixels[0, 0, 0] == 7


@pytest.mark.parametrize(
    "data", [list(range(12)), tuple(range(12)), np.repeat(np.arange(12, dtype=np.uint8), 2)[::2]]
)
def test_data_without_a_plain_buffer_is_copied(data):
    assert frame_from_message(image_message(data, 2, 2)).pixels.ravel().tolist() == list(range(12))


@pytest.mark.parametrize("surplus", [0, 1, 1000])
def test_bytes_after_the_last_row_are_ignored(surplus):
    assert frame_from_message(image_message(bytes(12) + b"\xff" * surplus, 2, 2)).pixels.max() == 0


# encoding, width, height, step, data, text of the error
MALFORMED = [
    ("bgr8", 0, 0, 0, b"", "image of 0x0: expected at least 1x1 pixels"),
    ("bgr8", 0, 2, 0, bytes(12), "image of 0x2: expected at least 1x1 pixels"),
    ("bgr8", 2, 0, 6, bytes(12), "image of 2x0: expected at least 1x1 pixels"),
    ("bgr8", 2, 2, 6, b"", "bgr8 image of 2x2: data has 0 bytes, expected 12 (2 rows of step 6)"),
    ("bgr8", 2, 2, 6, bytes(11), "data has 11 bytes, expected 12 (2 rows of step 6)"),
    ("bgr8", 2, 2, 8, bytes(13), "data has 13 bytes, expected 16 (2 rows of step 8)"),
    ("nv12", 4, 4, 4, bytes(23), "data has 23 bytes, expected 24 (6 rows of step 4)"),
    ("bgr8", 2, 2, 5, bytes(12), "step is 5, expected at least 6 bytes"),
    ("bgr8", 2, 2, 0, bytes(12), "step is 0, expected at least 6 bytes"),
    ("mono16", 3, 2, 3, bytes(12), "step is 3, expected at least 6 bytes"),
    ("uyvy", 3, 2, 8, bytes(16), "uyvy image of 3x2: expected an even width, because"),
    ("yuyv", 3, 2, 8, bytes(16), "expected an even width, because"),
    ("nv12", 3, 2, 4, bytes(16), "expected an even width and height, because"),
    ("nv21", 2, 3, 4, bytes(16), "expected an even width and height, because"),
    ("bayer_rggb8", 4, 2, 4, bytes(16), "expected at least 3x3 pixels"),
    ("bgr8", 2, 2, 6, np.zeros(12, np.int64), "image data has items of 8 bytes each, expected single bytes"),
    ("bgr8", 2, 2, 6, 12, "image data is of type int, expected bytes"),
    ("bgr8", 2, 2, 6, "twelve chars", "image data is of type str, expected bytes"),
    ("bgr8", 2, 2, 6, [256] * 12, "image data is of type list, expected bytes"),
]


@pytest.mark.parametrize(("encoding", "width", "height", "step", "data", "text"), MALFORMED)
def test_malformed_messages_are_refused_on_one_line(encoding, width, height, step, data, text):
    with pytest.raises(FrameError) as caught:
        frame_from_message(image_message(data, height, width, encoding, step=step))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("", "encoding is empty"),
        ("BGR8", "'BGR8' is spelled 'bgr8'"),
        ("8uc3", "'8uc3' is spelled '8UC3'"),
        ("16UC1", f"'16UC1' is not supported: publish one of {', '.join(SUPPORTED_ENCODINGS)}"),
        ("rgb16\n", r"'rgb16\n' is not supported"),
    ],
)
def test_other_encodings_are_refused_with_advice_on_one_line(encoding, text):
    with pytest.raises(UnsupportedEncodingError) as caught:
        frame_from_message(image_message(bytes(99), 2, 2, encoding, step=16))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_a_huge_announced_size_is_refused_without_allocating_it(encoding):
    message = image_message(bytes(1000), 20000, 20000, encoding, step=80000)
    tracemalloc.start()
    with pytest.raises(FrameError, match=r"image of 20000x20000: data has 1000 bytes"):
        frame_from_message(message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
