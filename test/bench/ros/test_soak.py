"""The soak: a short one over real DDS, and what it makes of its samples."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.ros.soak import SoakReport, main

pytestmark = pytest.mark.ros
COMMAND = [sys.executable, "-m", "trt_ssd_ros.bench.ros.soak"]


def test_growth_is_the_slope_after_the_warm_up():
    memory = [100.0, 200.0, 300.0, 300.0, 301.0, 302.0, 303.0, 304.0, 305.0]
    samples = [ProcessUsage(0.0, m, 50.0, threads=7, descriptors=9) for m in memory]
    report = SoakReport(1, {"change_camera": 3}, 5, [60.0 * n for n in range(9)], {"detector": samples})
    assert report.growth("detector", "memory_mib") == 60
    assert report.growth("detector", "threads") == 0
    assert "resident memory (MiB) +60.00 (305)" in " ".join(str(report).split())
    assert "3 change camera; 5 detections; images of 0 MiB" in str(report)


def test_a_process_is_measured():
    here = ProcessUsage.of(os.getpid())
    with Path(__file__).open():
        assert ProcessUsage.of(os.getpid()).descriptors == here.descriptors + 1
    assert 10 < here.private_mib < here.memory_mib < 10_000
    assert here.threads >= 1
    with pytest.raises(OSError, match="not found"):
        ProcessUsage.of(2**22 + 1)


def test_a_short_soak_disturbs_and_measures(start_process, tmp_path):
    figures = tmp_path / "soak.json"
    small = ["--width", "160", "--height", "120", "--minutes", "0.1"]
    process = start_process([*COMMAND, *small, "--json", str(figures)])
    assert process.wait(120) == 0
    found = json.loads(figures.read_text())
    assert found["answers"] >= 5
    assert found["image_mib"] == 0.05
    assert sum(found["done"].values()) - found["done"]["images"] >= 5
    for node in ("detector", "echo"):
        assert len(found["samples"][node]["threads"]) == len(found["times"]) > 10
        assert set(found["growth_an_hour"][node]) == {"memory_mib", "private_mib", "threads", "descriptors"}


@pytest.mark.parametrize(
    ("argument", "value", "expected"), [("--minutes", "0", "a number"), ("--width", "1.5", "a whole number")]
)
def test_a_wrong_argument_is_named(capsys, argument, value, expected):
    with pytest.raises(SystemExit, match="2"):
        main(["soak", argument, value])
    assert f"argument {argument}: found {value}, expected {expected} above 0" in capsys.readouterr().err
