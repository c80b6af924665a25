"""StatusUpdater: a timer that fires while ROS shuts down."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from trt_ssd_ros.ros.status_updater import StatusUpdater

pytestmark = pytest.mark.ros


def test_publishes_until_ros_is_shut_down(probe):
    node = Node("camera", namespace="front", context=probe.context)
    received = probe.receive(DiagnosticArray, "/diagnostics")
    updater = StatusUpdater(node, "webcam:0")
    updater.add("camera", lambda status: status)

    def has_arrived() -> bool:
        updater.update()
        return any(status.hardware_id == "webcam:0" for message in received for status in message.status)

    probe.spin_until(has_arrived, "the status")
    assert received[-1].status[0].name == "/front/camera: camera"
    probe.context.shutdown()
    updater.update()
