"""What the engines log in Python is in the node's log."""

from __future__ import annotations

import logging
from unittest.mock import Mock, call

import pytest
from rcl_interfaces.msg import Log

from trt_ssd_ros.ros.process import LogBridge

pytestmark = pytest.mark.ros
LOGGER = logging.getLogger("trt_ssd_ros")
LEVELS = [20, 30, 40]  # rcl_interfaces/msg/Log: INFO, WARN, ERROR


def test_each_severity_arrives_on_rosout_while_the_bridge_is_open(probe, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest-xdist cannot send a report with \\udc80
    heard = probe.receive(Log, "/rosout")
    bridge = LogBridge(probe.node.get_logger())
    bridge.open()
    LOGGER.debug("not this")
    LOGGER.info("building, %d %%", 50)
    LOGGER.warning("hm")
    LOGGER.error("a broken name: \udc80")
    bridge.close()
    LOGGER.error("nor this")
    probe.spin_until(lambda: len(heard) >= 3, "three lines")
    assert [message.msg for message in heard] == ["building, 50 %", "hm", "a broken name: \\udc80"]
    assert [
        ord(message.level) if isinstance(message.level, bytes) else message.level for message in heard
    ] == LEVELS
    bridge.close()


def test_lines_of_a_named_logger_go_to_its_bridge_alone():
    detector, camera = Mock(), Mock()
    everything, images = LogBridge(detector), LogBridge(camera, "trt_ssd_ros.images")
    images.open()
    everything.open()
    logging.getLogger("trt_ssd_ros.images").warning("the images have stopped")
    LOGGER.info("building")
    images.close()
    logging.getLogger("trt_ssd_ros.images").warning("the images are back")
    everything.close()
    assert camera.mock_calls == [call.warning("the images have stopped")]
    assert detector.mock_calls == [call.info("building"), call.warning("the images are back")]
