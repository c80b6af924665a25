"""The benchmark prints its rows and writes its figures."""

from __future__ import annotations

import json
import re
import sys

import pytest

from trt_ssd_ros.bench.ros.__main__ import main

pytestmark = pytest.mark.ros

ROWS = ["bare session", "Detector.detect", "image published to detections received"]


def test_measures_every_layer(start_process, tmp_path):
    figures = tmp_path / "figures.json"
    size = ["--width", "320", "--height", "240"]
    repeats = ["--repeats", "20", "--seconds", "1", "--rate", "10", "--json", str(figures)]
    process = start_process([sys.executable, "-m", "trt_ssd_ros.bench.ros", *size, *repeats])
    assert process.wait(120) == 0
    assert "320x240" in process.log
    for row in ROWS:
        p50, p99, ratio = re.search(rf"^{row} +([\d.]+) +([\d.]+) +([\d.]+)$", process.log, re.MULTILINE).groups()
        assert 0 < float(p50) <= float(p99)
        assert float(ratio) > 0
    figures_of = json.loads(figures.read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    node = figures_of["node"]
    assert node["sent"] == 10
    assert 0 < node["received"] <= 10
    assert node["cpu_ms"] > 0
    assert 20 < node["memory_mib"] < 2000
    echo, detector = (figures_of[f"{name} node without inference"] for name in ("echo", "detector"))
    assert (echo["engine"], detector["engine"] >= 0) == (None, True)
    for yardstick in (echo, detector):
        assert 0 < yardstick["arrival"] <= yardstick["latency"]["p99"]
    ratios = sorted(d / e for d, e in zip(detector["cpu_rounds"], echo["cpu_rounds"], strict=True))
    assert f" {ratios[2]:.2f} of the echo node's ({ratios[0]:.2f} to {ratios[-1]:.2f})" in process.log
    for name in ("set a parameter", "enable", "get the state", "deactivate", "activate"):
        assert figures_of["answers"][name]["p99"] > 0
        assert f"\n{name} " in process.log
    assert f"node: {node['received']} of 10 images at 10 Hz" in process.log


def test_the_node_is_measured_on_a_server(start_process, server, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    server.expect("secret")
    engine = ["--backend", "remote", "--remote-url", server.url, "--remote-token-file", str(token)]
    stream = ["--cameras", "1", "--one-node", "--rate", "5", "--seconds", "1", "--width", "320", "--height", "240"]
    process = start_process([sys.executable, "-m", "trt_ssd_ros.bench.ros", *engine, *stream])
    assert process.wait(120) == 0, process.log
    [answered] = re.findall(r"^ +1 +1 +([\d.]+)%", process.log, re.MULTILINE)
    assert float(answered) > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nope"], "expected the path of a model card"),
        (["--width", "0"], ""),
        (["--remote-url", "http://gpu"], "beside the backend"),
    ],
    ids=["no such model", "no pixels", "no backend remote"],
)
def test_a_wrong_argument_ends_with_one_line(capsys, arguments, said):
    assert main(["benchmark", *arguments]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark: ")
    assert said in line
