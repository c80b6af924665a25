"""preview/compressed: the camera's image without boxes, small, while it has a subscriber."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from trt_ssd_ros.images.compressed import MAX_JPEG_SIDE, decode_image, encode_jpeg, of_size, original_size
from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("jpeg", (64, 48)),
        ("bgr8; jpeg compressed bgr8", (64, 48)),
        (f"bgr8; jpeg compressed bgr8{of_size(1280, 720)}", (1280, 720)),
        ("jpeg; of 0x720", (64, 48)),
        ("jpeg; of 1280x720; of", (64, 48)),
    ],
)
def test_the_format_tells_the_size_of_the_image(name, size):
    assert original_size(name, encode_jpeg(np.zeros((48, 64, 3), np.uint8), "bgr")) == size


def test_without_either_the_size_is_unknown():
    assert original_size("", b"") is None


def test_the_preview_is_undrawn_and_as_wide_as_asked(client, start_blank_detector):
    start_blank_detector(preview_rate=0.0)
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[:, 100:] = 0, 0, 255
    seconds = iter(range(1, 1000))

    def ask() -> None:
        header = Header(stamp=Time(sec=next(seconds)), frame_id="camera")
        client.ask(image_to_msg(pixels, "bgr", header))

    pictures = client.probe.receive(CompressedImage, "preview/compressed")

    def came() -> bool:
        before = len(pictures)
        ask()
        return client.probe.happens(lambda: len(pictures) > before, 0.2)

    for width, shape in ((960, (120, 200, 3)), (150, (90, 150, 3)), (50, (30, 50, 3))):
        assert client.probe.set_parameter("preview_width", width).successful
        client.probe.spin_until(came, "preview/compressed")
        newest = pictures[-1]
        shown = decode_image(newest.data, newest.format)
        assert shown.shape == shape
        left, right = shown[:, : shape[1] // 3].mean((0, 1)), shown[:, -shape[1] // 3 :].mean((0, 1))
        assert np.abs(left - (0, 0, 0)).max() < 5
        assert np.abs(right - (0, 0, 255)).max() < 5
        assert original_size(newest.format, newest.data) == (200, 120)
        assert newest.header in [answer.header for answer in client.answers]

    assert client.probe.set_parameter("preview_rate", 0.001).successful
    ask()
    before = len(pictures)
    ask()
    ask()
    assert len(pictures) <= before + 1, "one at most, then none for 1000 s"


def test_an_image_too_long_for_jpeg_costs_only_its_preview(client, start_blank_detector):
    node = start_blank_detector(preview_rate=0.0)
    client.probe.receive(CompressedImage, "preview/compressed")
    tall = image_to_msg(np.zeros((MAX_JPEG_SIDE + 1, 2, 3), np.uint8), "bgr", Header())
    client.probe.spin_until(
        lambda: client.ask(tall) and "found an image of 2x65501 pixels" in node.log, "the reason"
    )
    assert client.ask(image_to_msg(np.zeros((8, 8, 3), np.uint8), "bgr", Header())).detections == []
