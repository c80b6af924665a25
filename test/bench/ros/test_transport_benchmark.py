"""The measurement of the middleware."""

from __future__ import annotations

from argparse import Namespace

import pytest

from trt_ssd_ros.bench.ros.transport import SETTINGS, measure

pytestmark = pytest.mark.ros


def test_images_are_counted_and_timed(domain, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    options = Namespace(width=64, height=48, rate=50.0, count=30)
    received = measure(options, SETTINGS["Fast DDS, our profile and allocator"])
    assert 2 <= received.images <= 30
    assert received.latency > 0
    assert received.cpu > 0
