"""The benchmark without ROS, on the shipped model; its files; and comparisons of made-up ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from terminal import Terminal

from trt_ssd_ros.bench.__main__ import main
from trt_ssd_ros.bench.report import SpeedReport, comparison
from trt_ssd_ros.bench.speed import Speed, images_per_second

SPEED = Speed(
    "ONNX Runtime 1.0 on the CPU",
    "onnxruntime",
    "fp32",
    640,
    480,
    1,
    100,
    10.0,
    11.0,
    12.0,
    99.0,
    0.05,
    9.0,
    300.0,
)


def report(*speeds: Speed, processor: str = "a CPU") -> SpeedReport:
    return SpeedReport("a command", {"processor": processor}, speeds)


@pytest.mark.usefixtures("opencv_threads")
def test_measures_every_size_and_batch_and_keeps_what_it_printed(tmp_path, capsys):
    engine = ["--backend", "onnxruntime", "--cpu-threads", "3"]
    sizes = ["--size", "64x48", "320x240"]
    files = ["--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]
    assert main([*engine, *sizes, "--batch", "1", "2", "--repeats", "5", *files]) == 0
    kept = SpeedReport.read(tmp_path / "a.json")
    assert [(s.width, s.height, s.batch, s.images) for s in kept.speeds] == [
        (64, 48, 1, 5),
        (320, 240, 1, 5),
        (64, 48, 2, 10),
        (320, 240, 2, 10),
    ]
    assert kept.machine["processor"].startswith(f"3 threads on {os.cpu_count()} cores of ")
    assert cv2.getNumThreads() == 3
    assert all(0 < s.p50 <= s.p90 <= s.p99 and s.memory_mib > 0 and s.cpu_ms >= 0 for s in kept.speeds)
    assert all(s.frames_per_s * s.p99 / 1e3 >= s.batch * 0.99 for s in kept.speeds)
    assert kept.table() in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] > 1000
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.json", "a.png"]


@pytest.mark.parametrize("at_a_terminal", [True, False])
def test_it_says_how_far_it_is(at_a_terminal):
    """With a bar at a terminal, and a line for each row anywhere."""
    command = [sys.executable, "-m", "trt_ssd_ros.bench", "--backend", "onnxruntime", "--repeats", "5"]
    command += ["--size", "64x48"]
    if at_a_terminal:
        terminal = Terminal()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal.theirs)
        said, code = terminal.rest(), process.wait(60)
    else:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        said, code = done.stderr, done.returncode
    assert code == 0
    assert re.search(r"benchmark: ONNX Runtime .* fp32, 64x48, batch 1: p50 [\d.]+ ms", said)
    assert ("5/5" in said) == ("\r" in said) == at_a_terminal


def test_what_was_measured_before_a_failure_is_kept(tmp_path, capsys):
    engines = ["--backend", "onnxruntime", "tensorrt", "--precision", "fp32", "fp16"]
    kept = tmp_path / "a.json"
    assert main([*engines, "--size", "64x48", "--repeats", "5", "--json", str(kept)]) == 1
    assert "TensorRT cannot be imported" in capsys.readouterr().err
    assert SpeedReport.read(kept).machine["model"] == "ssdlite_mobilenet_v2_coco"


def test_onnxruntime_has_one_precision_and_is_measured_once(capsys):
    engines = ["--backend", "onnxruntime", "--precision", "fp32", "fp16"]
    assert main([*engines, "--size", "64x48", "--repeats", "5", "--rate", "100"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("module", ["psutil", "matplotlib"])
def test_without_its_libraries_nothing_is_measured(tmp_path, capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["--backend", "onnxruntime", "--plot", str(tmp_path / "a.png")]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()[-1].endswith(f": pip install {module}")) == ("", True)


def test_a_table_names_watts_and_gpu_memory_where_they_are_known():
    told = replace(SPEED, gpu_mib=600.0, watts={"VDD_IN": 12.34})
    assert report(told).table().splitlines()[-1].endswith("  VDD_IN 12.3 W  GPU 600 MiB")


def test_a_difference_beyond_the_spread_stands_out():
    slower, same = replace(SPEED, p50=12.0), replace(SPEED, width=1280, p50=10.4)
    before = report(SPEED, replace(SPEED, width=1280))
    rows = comparison(before, report(slower, same)).splitlines()[1:]
    assert rows[0].split()[-3:] == ["10.00", "12.00", "1.20"]
    assert rows[1].endswith("1.04   within the spread of 5%")


def test_a_comparison_takes_another_version_as_the_same_engine_and_says_what_else_differs():
    newer = replace(SPEED, engine="ONNX Runtime 2.0 on the CPU")
    rows = comparison(report(SPEED, processor="slow"), report(newer, processor="fast")).splitlines()
    assert rows[1].split()[-6:] == ["1.00", "within", "the", "spread", "of", "5%"]
    assert rows[2] == "processor: slow before, fast now"


def test_what_only_one_of_two_measured_is_left_open():
    rows = comparison(report(SPEED), report(replace(SPEED, batch=8))).splitlines()[1:]
    assert [row.split()[-2:] for row in rows] == [["10.00", "-"], ["-", "10.00"]]


def test_compare_reads_files(tmp_path, capsys):
    report(SPEED).write(tmp_path / "a.json")
    assert main(["--compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 0
    assert "1.00" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"p50": "x"}, {"p50": 0}, {"engine": 3}, {"spread": None}, {"color": 1}])
def test_a_report_of_strange_figures_is_one_line(tmp_path, capsys, wrong):
    content = {"command": "", "machine": {}, "speeds": [{**asdict(SPEED), **wrong}]}
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert main(["--compare", str(tmp_path / "b.json"), str(tmp_path / "b.json")]) == 1
    assert "found no report (" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", '{"command": "", "machine": {}}', json.dumps({"speeds": [{}]})])
def test_a_file_that_is_no_report_is_one_line(tmp_path, capsys, content):
    (tmp_path / "b.json").write_text(content)
    assert main(["--compare", str(tmp_path / "b.json"), str(tmp_path / "b.json")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: {tmp_path / 'b.json'}: found no report (")


@pytest.mark.parametrize("size", ["1280", "0x10", "1280x720x3", "axb", "99999x10"])
def test_a_wrong_size_says_what_was_expected(capsys, size):
    with pytest.raises(SystemExit, match="2"):
        main(["--size", size])
    assert f"found '{size}', expected WIDTHxHEIGHT" in capsys.readouterr().err


def test_images_per_second_counts_the_images_of_the_timed_calls(monkeypatch):
    clock, started, fetched = [0.0], [], []

    def start_batch(images):
        started.append(len(images))
        return lambda: fetched.append(clock.__setitem__(0, clock[0] + 0.5))

    monkeypatch.setattr("trt_ssd_ros.bench.speed.time.perf_counter", lambda: clock[0])
    detector = SimpleNamespace(start_batch=start_batch, in_flight=2)
    assert images_per_second(detector, np.zeros((8, 4, 4, 3), np.uint8), 10) == pytest.approx(16)
    assert len(started) == len(fetched) == 12
