"""Composed: cameras and detector in one process, so that images reach the detector without a message.

composed_node [CAMERA ...] [--ros-args ...]

The arguments name those of the detector's `cameras` that run in this process; the images of the others come from
topics. Without arguments, the process runs the detector's only camera.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from posixpath import join

from rclpy.utilities import remove_ros_args

from trt_ssd_ros.camera.camera_node import CameraNode
from trt_ssd_ros.engines.backend import open_detector
from trt_ssd_ros.images.quiet_opencv import quiet_opencv
from trt_ssd_ros.images.stream import exit_code
from trt_ssd_ros.node.camera_channel import CameraChannel
from trt_ssd_ros.node.channel_input import ChannelInput
from trt_ssd_ros.node.composed_input import ComposedInput
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.node.image_input import ImageInput
from trt_ssd_ros.node.opened_model import OpenEngine
from trt_ssd_ros.ros.parameters import ParameterNode
from trt_ssd_ros.ros.process import FailableNode, spin_nodes


def create_nodes(open_engine: OpenEngine = open_detector, cameras: Sequence[str] = ()) -> Iterator[FailableNode]:
    """Yield a detector node and its camera nodes.

    The node of each named camera is `camera` in a namespace below the detector's, e.g. /front/camera.

    Args:
        open_engine: Function that opens the detector of a card; see `open_detector`.
        cameras: Names of the cameras in this process; empty: the detector's only camera.

    Raises:
        ValueError: A parameter, the model card, a source or a camera's name is wrong.
    """
    detector = DetectorNode(open_engine, partial(_new_input, cameras))
    yield detector
    _check_cameras(cameras, [channel.name for channel in detector.channels if channel.name])
    for channel in detector.channels:
        if isinstance(channel.input, ComposedInput):
            namespace = join(detector.get_namespace(), channel.name) if channel.name else ""
            yield CameraNode(channel.input, namespace)


def _new_input(
    cameras: Sequence[str],
    node: ParameterNode,
    topic: str,
    channel: CameraChannel,
    transport: str,
    reliability: str,
    changed: Callable[[], None],
) -> ChannelInput:
    """Return the input of a camera: in this process, or a subscription."""
    if channel.name and channel.name not in cameras:
        return ImageInput(node, topic, channel, transport, reliability, changed)
    if channel.name:
        transport = "raw"  # image_transport is for the cameras beside this one: no warning that it is not used
    return ComposedInput(node, topic, channel, transport, reliability, changed)


def _check_cameras(here: Sequence[str], cameras: Sequence[str]) -> None:
    """Check that the cameras of this process are cameras of the detector.

    Raises:
        ValueError: They are not, or the detector has cameras, and none of them is in this process.
    """
    unknown = [name for name in here if name not in cameras]
    found = ", ".join(cameras) or "none"
    if unknown:
        raise ValueError(
            f"cameras: found {found}, expected {', '.join(unknown)} among them, as on the command line"
        )
    if cameras and not here:
        raise ValueError(
            f"cameras: found {found} in the process of one camera, expected none: launch with cameras:=, or name "
            f"the cameras of this process, e.g. composed_node {cameras[0]}"
        )


def main(args: Sequence[str] | None = None) -> int:
    """Run the nodes."""
    quiet_opencv()
    cameras = remove_ros_args(sys.argv if args is None else args)[1:]
    return exit_code(spin_nodes(partial(create_nodes, cameras=cameras), args))


if __name__ == "__main__":
    sys.exit(main())
