"""What the engines log in Python is in the node's log."""

from __future__ import annotations

import pytest
from rcl_interfaces.msg import Log

from trt_ssd_ros.ros.process import PACKAGE_LOGGER, LogBridge

pytestmark = pytest.mark.ros
LEVELS = [20, 30, 40]  # rcl_interfaces/msg/Log: INFO, WARN, ERROR


def test_each_severity_arrives_on_rosout_while_the_bridge_is_open(probe):
    heard = probe.receive(Log, "/rosout")
    bridge = LogBridge(probe.node.get_logger())
    bridge.open()
    PACKAGE_LOGGER.debug("not this")
    PACKAGE_LOGGER.info("building, %d %%", 50)
    PACKAGE_LOGGER.warning("hm")
    PACKAGE_LOGGER.error("a broken name: \udc80")
    bridge.close()
    PACKAGE_LOGGER.error("nor this")
    probe.spin_until(lambda: len(heard) >= 3, "three lines")
    assert [message.msg for message in heard] == ["building, 50 %", "hm", "a broken name: \\udc80"]
    assert [
        ord(message.level) if isinstance(message.level, bytes) else message.level for message in heard
    ] == LEVELS
    bridge.close()
