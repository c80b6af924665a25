"""Composed: camera and detector in one process, so that images reach the detector without a message."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from trt_ssd_ros.camera.camera_node import CameraNode
from trt_ssd_ros.engines.backend import open_detector
from trt_ssd_ros.images.quiet_opencv import quiet_opencv
from trt_ssd_ros.images.stream import exit_code
from trt_ssd_ros.node.composed_input import ComposedInput
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.node.opened_model import OpenEngine
from trt_ssd_ros.ros.process import FailableNode, spin_nodes


def create_nodes(open_engine: OpenEngine = open_detector) -> Iterator[FailableNode]:
    """Yield a detector node and its camera node.

    Args:
        open_engine: Function that opens the detector of a card; see `open_detector`.

    Raises:
        ValueError: A parameter, the model card or the source is wrong.
    """
    detector = DetectorNode(open_engine, ComposedInput)
    yield detector
    if len(detector.channels) > 1:
        names = ", ".join(channel.name for channel in detector.channels)
        raise ValueError(f"cameras: found {names} in the process of one camera, expected none")
    [channel] = detector.channels
    assert isinstance(channel.input, ComposedInput)  # for the type checker
    yield CameraNode(channel.input)


def main(args: Sequence[str] | None = None) -> int:
    """Run both nodes."""
    quiet_opencv()
    return exit_code(spin_nodes(create_nodes, args))


if __name__ == "__main__":
    sys.exit(main())
