"""StatusUpdater: /diagnostics of a node."""

from __future__ import annotations

from typing import Any

from diagnostic_updater import Updater
from rclpy.node import Node

from trt_ssd_ros.ros.process import unless_shut_down


class StatusUpdater(Updater):  # type: ignore[misc]
    """Updater that publishes nothing once ROS is shut down, and names nodes in a namespace in full.

    Args:
        node: Node whose status it publishes.
        hardware: Device that the status names; "none" if there is none.
    """

    def __init__(self, node: Node, hardware: str = "none") -> None:
        node.declare_parameter("diagnostic_updater.use_fqn", node.get_namespace() != "/")
        super().__init__(node)
        self.setHardwareID(hardware)

    def publish(self, status: Any) -> None:
        """Publish one status or a list of them, unless ROS is shut down."""
        with unless_shut_down(self.node.context):
            super().publish(status)
