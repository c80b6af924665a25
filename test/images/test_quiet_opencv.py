"""OpenCV and FFmpeg are silent, with the function of OpenCV 4 and with that of OpenCV 5."""

from __future__ import annotations

import subprocess
import sys

import pytest

READ_RUBBISH = """
import cv2
from types import SimpleNamespace
if {is_version_5}:
    set_level = cv2.setLogLevel
    cv2.utils.logging = SimpleNamespace(setLogLevel=set_level)
    del cv2.setLogLevel
from trt_ssd_ros.images.quiet_opencv import quiet_opencv
if {quiet}:
    quiet_opencv()
cv2.imread("/does/not/exist.png")
cv2.VideoCapture("/does/not/exist.mp4")
cv2.VideoCapture(77)  # of these, OpenCV 4.5 reports only a camera
"""


@pytest.mark.parametrize("is_version_5", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
def test_opencv_writes_nothing_to_stderr(quiet, is_version_5):
    code = READ_RUBBISH.format(quiet=quiet, is_version_5=is_version_5)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert bool(done.stderr) is not quiet
