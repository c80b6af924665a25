"""Runs cameras and detector in one process, with an engine that finds nothing and cameras that RIG rigs.

The arguments name the cameras, as those of composed_node; without them there is one.

Each camera shows 64x48 images, 50 a second. While RIG/hang exists it hangs; where RIG/fail exists it raises
SourceError with its text. While RIG/gone exists it is not found, and while RIG/absent exists it does not open.
A hang is one of half a second.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.utilities import remove_ros_args

from trt_ssd_ros.bench.ros.reference_nodes import open_blank
from trt_ssd_ros.camera import source_reader
from trt_ssd_ros.camera.composed import create_nodes
from trt_ssd_ros.images import open_source
from trt_ssd_ros.images.source import AbsentSourceError, Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.stream import exit_code
from trt_ssd_ros.ros.process import spin_nodes

RIG = Path(os.environ["RIG"])
LOGGER = logging.getLogger("trt_ssd_ros.images.rigged")


class RiggedSource(ImageSource):
    """A camera that works, unless it is told otherwise."""

    live = True

    def open(self) -> None:
        """See `ImageSource.open`."""
        if (RIG / "absent").exists():
            raise AbsentSourceError("the camera is not plugged in")
        LOGGER.info("the source opens")

    def captures(self) -> Iterator[Capture]:
        """See `ImageSource.captures`."""
        index = 0
        while True:
            time.sleep(0.02)
            while (RIG / "hang").exists():
                time.sleep(0.01)
            if (RIG / "fail").exists():
                raise SourceError((RIG / "fail").read_text())
            yield partial(SourceImage, index, str(index), np.full((48, 64, 3), index % 256, np.uint8))
            index += 1


def find(_: str) -> RiggedSource:
    """Return the camera."""
    if (RIG / "gone").exists():
        raise SourceError("the camera is gone")
    return RiggedSource()


if __name__ == "__main__":
    sources: Any = open_source.SOURCES
    sources["demo"] = find
    source_reader.HANG = 0.5
    sys.exit(exit_code(spin_nodes(lambda: create_nodes(open_blank, remove_ros_args(sys.argv)[1:]))))
