"""The benchmark of an inference server, with a few requests to a real one."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import SERVER, ModelServer

from trt_ssd_ros.bench.__main__ import main as benchmark
from trt_ssd_ros.bench.remote import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture
def server(card_path: Path, folder: Path) -> Iterator[ModelServer]:
    """A server for one test."""
    server = ModelServer(card_path, folder)
    yield server
    server.kill()


def test_latency_and_fairness_are_measured(server, capsys):
    arguments = ["--idle-url", server.url, "--repeats", "3", "--robots", "2", "--requests", "6"]
    assert main(["--url", server.url, *arguments]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^remote +[\d.]+ ms p50", said, re.MULTILINE)
    assert re.search(r"^remote adds -?[\d.]+ ms to local: -?[\d.]+ of the transport alone$", said, re.MULTILINE)
    [sent] = re.findall(r"^(\d+) requests of 2 images by 2 robots", said, re.MULTILINE)
    assert 6 <= int(sent) <= 8
    assert "wrong answers 0" in said


def test_a_frozen_and_a_killed_server_are_measured(server, card_path, folder, capsys):
    server.kill()
    command = shlex.join([sys.executable, str(SERVER), str(card_path), str(folder)])
    assert main(["--url", server.url, "--server", command, "--rounds", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"^frozen 1 times: left after at most [\d.]+ s, back after at most [\d.]+ s$", said, re.MULTILINE
    )
    assert "killed 1 times" in said
    assert "wrong answers 0 of" in said


@pytest.mark.usefixtures("opencv_threads")
def test_the_benchmark_without_ros_measures_a_server_beside_another_engine(server, capsys):
    engines = ["--backend", "onnxruntime", "remote", "--remote-url", server.url]
    assert benchmark([*engines, "--size", "64x48", "--repeats", "3"]) == 0
    assert f"at {server.url}" in capsys.readouterr().out


def test_the_benchmark_without_ros_refuses_what_a_server_decides(capsys):
    assert (
        benchmark(["--backend", "remote", "--remote-url", "http://127.0.0.1:9", "--precision", "fp32", "fp16"])
        == 1
    )
    assert capsys.readouterr().err == (
        "benchmark: --precision: found fp32 fp16 beside the backend remote, expected none: the server decides\n"
    )


def test_a_missing_server_is_one_line(capsys):
    assert main(["--url", "http://127.0.0.1:9", "--idle-url", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
