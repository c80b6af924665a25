"""The Python packages that detection needs, and what they were built with."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from trt_ssd_ros.errors import REQUIRED
from trt_ssd_ros.tools.checkup.finding import Finding, verdict
from trt_ssd_ros.tools.doctor.machine import Machine

GSTREAMER = """
import cv2, re
print(re.search(r"GStreamer: +(.+)", cv2.getBuildInformation() + "GStreamer:  NO").group(1))
"""


def software_findings(machine: Machine) -> Iterator[Finding]:
    """Look at Python and its packages."""
    yield Finding("Python", "OK", sys.version.split()[0])
    for module, package in REQUIRED.items():
        answer = machine.version(module)
        if answer.worked:
            yield Finding(module, "OK", answer.text)
        else:
            yield Finding(module, "FAIL", answer.text, "nothing runs", f"pip install {package}")
    yield from _gstreamer(machine)


def _gstreamer(machine: Machine) -> Iterator[Finding]:
    answer = machine.python(GSTREAMER)
    if answer.worked:
        yield verdict(
            "GStreamer",
            answer.text.startswith("YES"),
            f"in OpenCV: {answer.text}",
            "the camera node opens no GStreamer pipelines (Jetson's CSI cameras, hardware decoding)",
            "pip uninstall opencv-python opencv-python-headless; sudo apt install python3-opencv; or use gscam",
        )
