"""read_image: the core's own encodings, and cv_bridge for the others where it is installed."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trt_ssd_ros.images.frame import FrameError, UnsupportedEncodingError
from trt_ssd_ros.node.image_reader import read_image
from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


class CvBridgeError(TypeError):
    """As in cv_bridge."""


@pytest.fixture
def depth() -> Image:
    """An image that the core does not read."""
    return Image(encoding="32FC1", height=2, width=3, step=12, data=bytes(24))


def install_cv_bridge(monkeypatch: pytest.MonkeyPatch, convert: Any) -> None:
    """Put a module in cv_bridge's place."""
    module = ModuleType("cv_bridge")
    module.CvBridgeError = CvBridgeError
    module.CvBridge = type("CvBridge", (), {"imgmsg_to_cv2": staticmethod(convert)})
    monkeypatch.setitem(sys.modules, "cv_bridge", module)


def fails_with(error: Exception) -> Any:
    """Return a conversion that fails."""

    def convert(*_: Any, **__: Any) -> None:
        raise error

    return convert


def test_reads_its_own_encodings_without_cv_bridge_and_without_a_copy(monkeypatch):
    install_cv_bridge(monkeypatch, fails_with(AssertionError("cv_bridge was asked")))
    message = image_to_msg(PIXELS, "rgb", Header())
    frame = read_image(message)
    np.testing.assert_array_equal(frame.pixels, PIXELS)
    assert frame.channel_order == "rgb"
    assert np.shares_memory(frame.pixels, np.frombuffer(message.data, np.uint8))


def test_names_the_supported_encodings_where_there_is_no_cv_bridge(monkeypatch, depth):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(UnsupportedEncodingError, match=r"'32FC1' is not supported.*bgr8.*bayer_rggb8") as caught:
        read_image(depth)
    assert caught.value.__suppress_context__, "the missing module is not the user's trouble"


def test_asks_cv_bridge_for_what_it_cannot_read(monkeypatch, depth):
    asked = []

    def convert(message: Image, desired_encoding: str) -> np.ndarray:
        asked.append((message, desired_encoding))
        return PIXELS

    install_cv_bridge(monkeypatch, convert)
    frame = read_image(depth)
    assert asked == [(depth, "bgr8")]
    np.testing.assert_array_equal(frame.pixels, PIXELS)
    assert frame.channel_order == "bgr"


@pytest.mark.parametrize(
    "error",
    [CvBridgeError("[32FC1] is not\n a colour format"), TypeError("buffer is too small for requested array")],
    ids=["its own error", "NumPy's, from inside it"],
)
def test_says_what_cv_bridge_said(monkeypatch, depth, error):
    install_cv_bridge(monkeypatch, fails_with(error))
    with pytest.raises(FrameError) as caught:
        read_image(depth)
    assert "32FC1" in str(caught.value)
    assert " ".join(str(error).split()) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", [{"step": 1}, {"data": bytes(3)}, {"width": 0}], ids=str)
def test_does_not_ask_cv_bridge_about_broken_images(monkeypatch, field):
    install_cv_bridge(monkeypatch, fails_with(AssertionError("cv_bridge was asked")))
    message = image_to_msg(PIXELS, "bgr", Header())
    for name, value in field.items():
        setattr(message, name, value)
    with pytest.raises(FrameError):
        read_image(message)
