"""ImageInput: when `image_reliability: auto` subscribes again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from trt_ssd_ros.node.image_input import ImageInput

pytestmark = pytest.mark.ros


def test_auto_subscribes_again_once_two_calls_see_the_same_publishers(probe):
    node: Node = probe.node
    image_input = ImageInput(node, "image", SimpleNamespace(), "raw", "auto", lambda: None)
    image_input.open()
    first = image_input.opened
    for number in (1, 2):
        node.create_publisher(Image, "image", QoSProfile(depth=1))
        probe.spin_until(lambda n=number: len(image_input.publishers()) == n, "the publisher")
        image_input.fit_reliability(image_input.publishers())
        assert image_input.opened is first, "the publishers have just changed"
    image_input.fit_reliability(image_input.publishers())
    assert image_input.opened is not first
    assert image_input.qos.reliability == QoSReliabilityPolicy.RELIABLE
    image_input.close()
