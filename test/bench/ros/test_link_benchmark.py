"""The benchmark of links, over a real cable between two machines."""

from __future__ import annotations

import pytest
from network import needs_fast_dds, needs_two_machines

from trt_ssd_ros.bench.ros.links import LOCAL_VARIABLES, SETUPS, header, measure, row

pytestmark = [pytest.mark.ros, needs_two_machines, needs_fast_dds]


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
