"""The benchmark of the web node."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("aiohttp")

pytestmark = pytest.mark.ros


def test_viewers_and_a_stalled_one_are_measured(start_process, tmp_path):
    figures = tmp_path / "figures.json"
    cases = ["no viewer", "1 viewer", "1 viewer and a stalled one"]
    options = ["--seconds", "0.5", "--rounds", "1", "--cases", *cases, "--json", str(figures)]
    process = start_process([sys.executable, "-m", "trt_ssd_ros.bench.ros.web", *options])
    assert process.wait(120) == 0, process.log
    idle, one, beside = json.loads(figures.read_text())["cases"]
    assert (idle["age"], idle["frames"]) == (None, 0)
    for its in (one, beside):
        assert its["frames"] > 0
        assert 0 < its["age"]["p50"] <= its["age"]["p99"]
        assert its["web_cpu"] > idle["web_cpu"]
    assert "1 viewer and a stalled one" in process.log
