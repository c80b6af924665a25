"""Samples become metres by their encoding, whatever the byte order and padding; nothing measured is NaN."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.images.frame import FrameError, UnsupportedEncodingError

MILLIMETRES = np.array([[1500, 0, 65535], [1, 2000, 300]])


def depth_message(samples: np.ndarray, encoding: str, big: bool = False, padding: int = 0) -> SimpleNamespace:
    """An image message with rows that end in bytes of padding."""
    ordered = samples.astype(samples.dtype.newbyteorder(">" if big else "<"))
    rows = b"".join(row.tobytes() + b"\xff" * padding for row in ordered)
    height, width = samples.shape
    step = width * samples.itemsize + padding
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=big, step=step, data=bytearray(rows)
    )


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
def test_equal_depths_in_each_encoding_are_equal_metres(encoding, padding, big):
    samples = MILLIMETRES.astype(np.uint16) if encoding != "32FC1" else (MILLIMETRES / 1000).astype(np.float32)
    depth = DepthImage.from_message(depth_message(samples, encoding, big, padding))
    expected = np.where(MILLIMETRES == 0, np.nan, MILLIMETRES / 1000)
    assert depth.size == (2, 3)
    assert depth.metres().dtype == np.float32
    np.testing.assert_allclose(depth.metres(), expected, rtol=1e-6)
    np.testing.assert_allclose(depth.metres(np.array([[1], [0]]), np.array([2, 0])), expected[[[1], [0]], [2, 0]])


def test_what_is_no_measurement_is_nan():
    samples = np.array([[np.nan, np.inf, -np.inf, 3e38, 0.0, 1e-40, -1.0, 1.0]], np.float32)
    assert np.isnan(DepthImage.from_message(depth_message(samples, "32FC1")).metres()).tolist() == [
        [True] * 7 + [False]
    ]


@pytest.mark.parametrize("encoding", ["bgr8", "64FC1", ""])
def test_an_encoding_that_is_no_depth_is_refused_with_its_name(encoding):
    with pytest.raises(UnsupportedEncodingError, match=f"'{encoding}', expected one of 16UC1, mono16, 32FC1"):
        DepthImage.from_message(depth_message(MILLIMETRES.astype(np.uint16), encoding))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"data": bytearray(5)}, "data has 5 bytes, expected 12"),
        ({"step": 3}, "step is 3, expected at least 6"),
        ({"height": 0}, "16UC1 image of 3x0"),
    ],
)
def test_a_damaged_message_is_refused(changed: dict[str, Any], words):
    message = depth_message(MILLIMETRES.astype(np.uint16), "16UC1")
    vars(message).update(changed)
    with pytest.raises(FrameError, match=words):
        DepthImage.from_message(message)
