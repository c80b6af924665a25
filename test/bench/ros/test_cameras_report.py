"""The figures of several cameras, without processes."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.bench.ros.camera_paths import stamp_and_count
from trt_ssd_ros.bench.ros.cameras import CamerasReport, CameraStreams, thread_shares
from trt_ssd_ros.bench.ros.cameras_report import cameras_report, plot_cameras
from trt_ssd_ros.bench.ros.disturbances import Disturbance, disturbances_report
from trt_ssd_ros.detection.timing import Timing

pytestmark = pytest.mark.ros
ONE = CamerasReport(
    cameras=1,
    nodes=1,
    latency=Timing.of([4.0, 5.0, 6.0]),
    answered=1.0,
    least_answered=1.0,
    rates=[30.0],
    cpu_ms=[2.0, 3.0],
    memory_mib=500,
    objects=3.5,
    gpu_mib=600,
    threads={"inference": 0.1, "main": 0.02},
)
TWO = replace(ONE, cameras=2, rates=[30.0, 27.0], latency=Timing.of([8.0, 10.0, 12.0]), answered=0.95)
TWO_NODES = replace(TWO, nodes=2, gpu_mib=nan)
STREAMS = CameraStreams(30.0, 60.0)


@pytest.mark.parametrize("frame_id", ["", "a", "abc", "abcd", "front_optical_frame"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_stamp_and_the_number_of_detections_are_read_from_a_serialised_message(frame_id, count):
    header = Header(stamp=Time(sec=1_700_000_000, nanosec=123), frame_id=frame_id)
    message = Detection2DArray(header=header, detections=[Detection2D(header=header)] * count)
    assert stamp_and_count(serialize_message(message)) == (1_700_000_000_000_000_123, count)


def test_threads_are_told_by_their_names_and_the_busiest_of_python_s_is_the_inference():
    before = {
        (7, 7): ("python3", 1.0),
        (7, 8): ("python3", 2.0),
        (7, 9): ("python3", 2.0),
        (9, 9): ("python3", 0.0),
    }
    now = {
        (7, 7): ("python3", 1.5),
        (7, 8): ("python3", 3.0),
        (7, 9): ("python3", 10.0),
        (7, 10): ("dds.shm.7400", 1.0),
        (9, 9): ("python3", 1.0),
    }
    assert thread_shares(before, now, 10.0) == pytest.approx(
        {"inference": 0.8, "main": 0.15, "python": 0.1, "dds.shm": 0.1}
    )


def test_the_table_has_ratios_and_says_what_fills_a_process():
    title, _, first, second, _, last = cameras_report([ONE, TWO, TWO_NODES], STREAMS).splitlines()
    assert title.startswith("cameras of 1280x720, raw, at 30 Hz for 60 s, ")
    assert title.endswith("3.5 detections an image")
    assert first.split()[:7] == ["1", "1", "100.0%", "100.0%", "1.00", "5.00", "5.98"]
    assert second.split()[4:8] == ["1.11", "10.00", "11.96", "2.00"]
    assert last == "one process is full with 2 cameras: 95.0% answered, 0.12 cores busy, of which inference 0.10"
    assert cameras_report([ONE], STREAMS).endswith("one process answers 99% of the images of 1 cameras")


@pytest.mark.parametrize("reports", [[ONE], [ONE, TWO], [ONE, TWO, TWO_NODES]])
def test_the_plot_is_a_picture(tmp_path, reports):
    plot_cameras(reports, STREAMS, "a machine", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_each_disturbance_is_compared_to_the_time_before_it():
    found = {"absent": Disturbance(Timing.of([4.0, 4.0]), Timing.of([6.0, 6.0]))}
    text = disturbances_report(found, 8)
    assert text.startswith("latency of 7 cameras")
    assert text.splitlines()[-1].split() == ["absent", "6.00", "4.00", "1.50", "6.00", "4.00", "1.50"]
