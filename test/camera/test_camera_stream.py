"""A network camera through detect.launch.py, from a real RTSP server that is killed and started again."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_fixtures import ros_arguments
from rtsp import RtspServer
from vision_msgs.msg import Detection2DArray

pytestmark = pytest.mark.ros

ROUNDS = int(os.environ.get("RTSP_ROUNDS", "1"))
"""How often the server is killed; 20 by hand."""


@pytest.fixture
def server(tmp_path: Path, repository: Path) -> Iterator[RtspServer]:
    """A server that shows a cat; not started."""
    server = RtspServer(tmp_path, [repository / "photos" / "chelsea.jpg"])
    yield server
    server.kill()


def test_a_stream_that_is_late_and_goes_away_comes_back_and_leaves_nothing_behind(probe, start_launch, server):
    answers, reports = (
        probe.receive(Detection2DArray, "detections"),
        probe.receive(DiagnosticArray, "/diagnostics"),
    )
    process = start_launch(f"source:={server.address}", "frame_id:=gate")
    probe.spin_until(lambda: newest(reports).level == DiagnosticStatus.WARN, "the wait for the source")
    assert "waiting for the source: cannot open rtsp://127.0.0.1:" in newest(reports).message
    server.start()
    probe.spin_until(lambda: any(answer.detections for answer in answers), "detections", 60.0)
    assert re.search(
        r"publishing rtsp://\S+ at the rate of the source, after \d+\.\d s of waiting for it", process.log
    )
    assert process.log.count("trying again until it opens") == 1
    [camera] = [p for p in psutil.Process(process.pid).children() if "composed_node" in " ".join(p.cmdline())]
    back, sizes = [], []
    for number in range(1, ROUNDS + 1):
        server.kill()
        probe.spin_until(lambda: newest(reports).level == DiagnosticStatus.ERROR, "the bad news")
        assert "no images, reopening the source: " in newest(reports).message
        server.start()
        began, before = monotonic(), len(answers)
        probe.spin_until(lambda before=before: len(answers) > before, "detections again")
        back.append(monotonic() - began)
        probe.spin_until(lambda: newest(reports).level == DiagnosticStatus.OK, "the good news")
        values = {value.key: value.value for value in newest(reports).values}
        assert values["interruptions"] == str(number)
        sizes.append((camera.num_threads(), camera.num_fds(), camera.memory_info().rss / 2**20))
    print(f"back {min(back):.1f} to {max(back):.1f} s after the server; {sizes[0]} to {sizes[-1]}")
    assert "Connection refused" not in process.log, "FFmpeg's own words, once for every attempt"
    assert process.log.count("the images have stopped") == process.log.count("reopened after") == ROUNDS
    assert {answer.header.frame_id for answer in answers} == {"gate"}
    assert sizes[-1][:2] == sizes[0][:2], "threads and descriptors"
    assert sizes[-1][2] - sizes[0][2] < 64, "MiB"


PATIENT_NODE = """
import sys
from trt_ssd_ros.camera.camera_node import main
from trt_ssd_ros.images import stream
stream.OPEN_TIMEOUT_MS, stream.PATIENCE = 600_000, 600.0
sys.exit(main())
"""
"""A camera node that only a signal ends while it opens a stream."""


def test_the_camera_node_ends_while_it_opens_a_stream(start_process, server):
    server.start()
    arguments = ros_arguments({"source": server.address.replace("//", "//me:secret@")})
    process = start_process([sys.executable, "-c", PATIENT_NODE, *arguments])
    process.wait_until_it_says("at the rate of the source")
    server.kill()
    with server.silent() as accept:
        process.wait_until_it_says("the images have stopped")
        connection, _ = accept()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        connection.close()
    assert "Traceback" not in process.log
    assert "secret" not in process.log


def newest(reports: list[DiagnosticArray]) -> DiagnosticStatus:
    """The newest status of the camera."""
    statuses = [s for array in reports for s in array.status if s.name.endswith(": camera")]
    return statuses[-1] if statuses else DiagnosticStatus()
