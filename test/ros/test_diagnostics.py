"""What /diagnostics says."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper

from trt_ssd_ros.core.detector import DetectorCounts
from trt_ssd_ros.ros.diagnostics import WINDOW, FrameCounts, StageTimes, fill_status, percentiles

pytestmark = pytest.mark.ros


def test_warns_until_there_is_an_image() -> None:
    status = fill_status(DiagnosticStatusWrapper(), "an engine", FrameCounts(), DetectorCounts(), StageTimes())
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "no image yet")
    values = {item.key: item.value for item in status.values}
    assert values["engine"] == "an engine"
    assert values["processed"] == "0"
    assert not [name for name in values if name.endswith("ms")], "no times before there are any"


def test_says_what_became_of_every_frame() -> None:
    times = StageTimes()
    times.latency.extend(range(101))
    times.engine.append(12.345)
    counts, detector = FrameCounts(10, 4, 3, 2, 1, 0), DetectorCounts(images=4, unsettled=5, saturated=6)
    status = fill_status(DiagnosticStatusWrapper(), "an engine", counts, detector, times)
    assert (status.level, status.message) == (DiagnosticStatus.OK, "4 images")
    assert {item.key: item.value for item in status.values} == {
        "engine": "an engine",
        **{"received": "10", "processed": "4", "overwritten": "3", "refused": "2", "lost": "1", "discarded": "0"},
        **{"nms finished on host": "5", "saturated": "6"},
        **{"latency p50 ms": "50.00", "latency p99 ms": "99.00"},
        **{"engine p50 ms": "12.35", "engine p99 ms": "12.35"},
    }


def test_percentiles_look_back_on_a_window() -> None:
    times = StageTimes()
    times.engine.extend([1000.0] * 50 + [1.0] * WINDOW)
    assert percentiles("x", times.engine) == {"x p50 ms": 1.0, "x p99 ms": 1.0}
    assert percentiles("x", np.arange(3)) == pytest.approx({"x p50 ms": 1.0, "x p99 ms": 1.98})
    assert percentiles("x", []) == {}
