"""Pictures and small videos for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.tools.detect.annotated import AnnotatedVideo

Image = NDArray[np.uint8]


def pan(photo: Image, count: int, width: int = 320, height: int = 240) -> list[Image]:
    """A window that moves over a photo."""
    steps = range(0, count * 2, 2)
    wide = cv2.resize(photo, (width + 2 * count, height))
    return [np.ascontiguousarray(wide[:, x : x + width]) for x in steps]


def write_video(path: Path, pictures: Sequence[Image]) -> Path:
    video = AnnotatedVideo(path)
    for number, picture in enumerate(pictures):
        video.add("", picture, number / 30)
    video.finish()
    return path
