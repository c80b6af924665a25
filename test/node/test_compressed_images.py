"""Compressed images in and out, over real DDS."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from image_messages import blank_image
from probe import DetectorClient
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from trt_ssd_ros.images.compressed import decode_image

pytestmark = pytest.mark.ros


def compressed(extension: str, pixels: np.ndarray, second: int) -> CompressedImage:
    """A message with a stamp of its own."""
    message = CompressedImage(header=Header(stamp=Time(sec=second), frame_id="camera"), format=extension[1:])
    message.data = bytes(cv2.imencode(extension, pixels)[1])
    return message


def test_detects_in_compressed_images(probe, start_node, detector, photo, card):
    process = start_node("detector_node", image_transport="compressed", **{"diagnostic_updater.period": 0.1})
    client = DetectorClient(probe, kind=CompressedImage, topic="image/compressed")
    for second, extension in enumerate((".jpg", ".png"), start=1):
        message = compressed(extension, photo("chelsea"), second)
        answer = client.ask(message)
        assert answer.header == message.header
        expected = detector.detect(decode_image(message.data, extension))
        [found] = answer.detections
        assert found.results[0].hypothesis.class_id == card.labels[expected.class_ids[0]]
        assert found.results[0].hypothesis.score == pytest.approx(expected.scores[0], abs=1e-5)
    torn = compressed(".png", photo("chelsea"), 3)
    torn.data = torn.data[:1000]
    client.send(torn)
    probe.spin_until(lambda: client.counts()[2] == 1, "refused = 1 in /diagnostics")
    client.ask(compressed(".jpg", photo("chelsea"), 4))
    assert "Traceback" not in process.log


def test_debug_image_is_compressed_for_who_listens(client, start_blank_detector):
    start_blank_detector()
    client.ask(blank_image())
    pictures = client.probe.receive(CompressedImage, "debug_image/compressed")

    def came() -> bool:
        client.ask(blank_image())
        return client.probe.happens(lambda: pictures, 0.2)

    client.probe.spin_until(came, "debug_image/compressed")
    assert decode_image(pictures[0].data, pictures[0].format).shape == (48, 64, 3)
    assert "jpeg" in pictures[0].format
    assert pictures[0].header in [answer.header for answer in client.answers]
