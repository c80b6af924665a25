"""The life of one node's process: settings, spinning, an orderly end, an exit code."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.utilities import get_default_context

from trt_ssd_ros.ros.allocator import keep_freed_blocks
from trt_ssd_ros.ros.dds_profile import profile_environment
from trt_ssd_ros.ros.inference_executor import new_executor
from trt_ssd_ros.ros.resources import share_folder


def spin_node(create: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Create a node and spin it until ROS is shut down.

    Args:
        create: Makes the node. A ValueError or RuntimeError from it, as from a wrong parameter, is logged as one
            line.
        args: Command line, sys.argv by default.

    Returns:
        The exit code: 0 after a shutdown or a signal, 1 if the node could not be made or failed.
    """
    keep_freed_blocks()
    os.environ.update(profile_environment(share_folder() / "config" / "fastdds_large_images.xml"))
    rclpy.init(args=None if args is None else list(args))
    node = None
    try:
        node = create()
        executor = new_executor(get_default_context())
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ValueError, RuntimeError) as error:
        get_logger("trt_ssd_ros").fatal(str(error))
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return int(getattr(node, "failed", False))
