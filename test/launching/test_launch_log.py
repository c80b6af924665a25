"""The log of a launch that starts, runs and ends as it should has no warning and no error."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros
INTERRUPTED = "user interrupted with ctrl-c (SIGINT)"


def test_a_normal_start_run_and_end_logs_no_warning_and_no_error(start_process):
    script = Path(__file__).parents[1] / "support" / "run_launch.py"
    launch = start_process([sys.executable, str(script), "trt_ssd_ros", "detect.launch.py", "source:=demo"])
    for text in (
        "first image of the camera in this process: 1280x720 bgr8",
        "first detections: ",
        "detections leave at ",
    ):
        launch.wait_until_it_says(text, 60.0)
    launch.send_signal(signal.SIGINT)
    assert launch.wait() == 0, launch.log
    bad = r"WARN|ERROR|FATAL|Failed|Traceback|[Ww]arning:|was required"
    assert [text for text in launch.log.splitlines() if re.search(bad, text) and INTERRUPTED not in text] == []
