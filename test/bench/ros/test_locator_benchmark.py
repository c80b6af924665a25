"""The measurement of the locator."""

from __future__ import annotations

import pytest

from trt_ssd_ros.bench.ros.locator import FRAMES, measure

pytestmark = pytest.mark.ros


def test_places_are_counted_and_timed(domain, monkeypatch, capfd):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    result = measure(FRAMES["another frame"], width=160, height=120, objects=2, rate=20.0, seconds=1.0)
    assert 1 <= result.answered <= result.sent <= 21
    assert result.cpu > 0
    assert result.latency.p99 >= result.latency.p50 > 0
    assert "Traceback" not in capfd.readouterr().err
