"""Fixtures of the detector node's tests."""

from __future__ import annotations

import pytest

from trt_ssd_ros.detection.detector import Detector


@pytest.fixture
def detector(detector: Detector) -> Detector:
    """A detector that resizes where the node does on the CPU, so that both find exactly the same."""
    detector.resize_on = "host"
    return detector
