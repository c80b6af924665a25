"""The comparison of the ways from a camera to detections."""

from __future__ import annotations

import json
import sys

import cv2
import pytest

from trt_ssd_ros.bench.ros.camera_paths import CANDIDATES, PathReport, camera_report, find_highest_rate
from trt_ssd_ros.bench.tutorial import on_the_cpu
from trt_ssd_ros.detection.timing import Timing

pytestmark = pytest.mark.ros


def report(rate: float, answered: float) -> PathReport:
    """A report with this share of answers."""
    return PathReport(rate, Timing(20.0, 30.0), float("nan"), answered, [5.0, 7.0, 6.0])


@pytest.mark.parametrize("limit", [*CANDIDATES, 3, 33, 2000])
def test_the_highest_rate_is_the_last_one_that_is_answered(limit):
    found = find_highest_rate(lambda rate: report(rate, min(1.0, limit / rate)))
    fitting = [rate for rate in CANDIDATES if limit / rate >= 0.95]
    assert found.rate == max(fitting, default=CANDIDATES[0])


def test_the_table_has_a_row_for_every_rate():
    table = camera_report({"composed": {"highest": report(60, 0.97), "10.0": report(10, 1.0)}})
    assert [line.split() for line in table.splitlines()[2:]] == [
        ["composed", "highest", "60", "97.0%", "20.00", "30.00", "6.00"],
        ["composed", "10", "100.0%", "20.00", "30.00", "6.00"],
    ]


def test_the_tutorials_pipeline_finds_the_cat(card, photo):
    assert on_the_cpu(card).detect(photo("chelsea")) >= 1


def test_one_process_is_compared_with_two(start_process, tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--camera", "--rates", "--seconds", "1", "--json", str(figures)]
    process = start_process([sys.executable, "-m", "trt_ssd_ros.bench.ros", *options])
    assert process.wait(120) == 0, process.log
    found = json.loads(figures.read_text())["figures"]["without inference"]
    for name in ("two processes", "composed"):
        assert found[name]["answered"] > 0.5
        assert 0 < found[name]["published"] <= found[name]["latency"]["p99"]
        assert all(cpu > 0 for cpu in found[name]["cpu_ms"])
    assert "composed / two processes" in process.log


def test_a_node_with_cameras_is_measured(start_process, tmp_path):
    figures = tmp_path / "figures.json"
    size = ["--width", "320", "--height", "240", "--compressed", "--plot", str(tmp_path / "plot.png")]
    options = ["--cameras", "1", "--rate", "3", "--seconds", "1", "--json", str(figures), *size]
    process = start_process([sys.executable, "-m", "trt_ssd_ros.bench.ros", *options])
    assert process.wait(180) == 0, process.log
    written = json.loads(figures.read_text())
    assert "--cameras 1" in written["command"]
    [its] = written["figures"]
    assert (its["cameras"], its["nodes"], its["gpu_mib"]) == (1, 1, None)
    assert its["least_answered"] > 0
    assert its["objects"] > 0
    assert any(cpu > 0 for cpu in its["cpu_ms"]), "an idle node takes no time in a round without an image"
    assert its["threads"]["inference"] > 0
    assert "cameras of 320x240, JPEG, at 3 Hz for 1 s" in process.log
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
