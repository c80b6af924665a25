"""The benchmark of links, over a real cable between two machines."""

from __future__ import annotations

import os

import pytest

from trt_ssd_ros.bench.ros.links import LOCAL_VARIABLES, SETUPS, header, measure, row
from trt_ssd_ros.bench.two_machines import missing

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(bool(missing()), reason=f"two machines: {missing()}"),
    pytest.mark.skipif(
        os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp", reason="needs Fast DDS"
    ),
]


def test_images_cross_the_cable_and_detections_come_back(monkeypatch):
    for name in LOCAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    name = "JPEG at 10 Hz, best effort"
    found = measure(name, 100.0, 1.0)
    assert 0 < found.answered <= 1.2
    assert found.latency is not None
    assert 4 < found.robot_mbit < 16, "8 Mbit/s of images crossed it"
    assert len(row(found)) == len(header())
    assert name in SETUPS
