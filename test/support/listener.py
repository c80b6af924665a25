"""Prints a line for every Detection2DArray on `detections`."""

from __future__ import annotations

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

if __name__ == "__main__":
    rclpy.init(args=sys.argv)
    node = Node("listener")
    node.create_subscription(Detection2DArray, "detections", lambda _: print("heard detections", flush=True), 10)
    print("listening", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
