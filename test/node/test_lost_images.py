"""LostImages: the middleware tells lost images from those that a newer one replaced."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from image_messages import blank_image
from std_msgs.msg import Header

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros


def test_images_that_are_lost_over_udp_are_counted(client, start_process, rig, photo):
    pytest.importorskip("rclpy.event_handler", reason="this rclpy does not report lost images")
    script = Path(__file__).parents[1] / "support" / "blank_detector.py"
    start_process([sys.executable, str(script)], RIG=str(rig), FASTDDS_BUILTIN_TRANSPORTS="UDPv4")
    client.ask(blank_image())
    client.probe.spin_until(client.status, "/diagnostics")
    if client.status()["lost"] == "unknown":
        pytest.skip("this middleware does not report lost images")
    assert client.status()["lost"] == "0"
    large = image_to_msg(photo("chelsea", 1920, 1080), "bgr", Header())

    def burst() -> bool:
        for _ in range(10):
            client.send(large)
        return int(client.status()["lost"]) > 0

    client.probe.spin_until(burst, "lost images")
    client.ask(blank_image())
    client.probe.spin_until(lambda: int(client.status()["dropped"]) > 0, "the gap in the numbers")
