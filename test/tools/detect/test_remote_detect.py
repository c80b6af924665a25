"""detect with its engine on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import ModelServer

from trt_ssd_ros.tools.detect.__main__ import main


@pytest.fixture
def server(card_path: Path, tmp_path: Path) -> Iterator[ModelServer]:
    """A server for one test."""
    server = ModelServer(card_path, tmp_path)
    yield server
    server.kill()


def lines(folder: Path) -> list[str]:
    """The results of the images, without the header, which names the engine."""
    return (folder / "results.jsonl").read_text().splitlines()[1:]


def test_results_are_those_of_the_local_engine(server, repository, tmp_path):
    photos = str(repository / "photos")
    common = [photos, "--no-draw", "--batch", "2"]
    assert main([*common, "--output", str(tmp_path / "local"), "--backend", "onnxruntime"]) == 0
    there = ["--backend", "remote", "--remote-url", server.url]
    assert main([*common, "--output", str(tmp_path / "remote"), *there]) == 0
    assert len(lines(tmp_path / "local")) >= 3
    assert lines(tmp_path / "remote") == lines(tmp_path / "local")
    header = json.loads((tmp_path / "remote" / "results.jsonl").read_text().splitlines()[0])
    assert server.url in json.dumps(header)


def test_a_server_that_fails_ends_the_run_and_a_resumed_one_completes_it(server, repository, tmp_path, capsys):
    run = [str(repository / "photos"), "--no-draw", "--output", str(tmp_path / "out")]
    run += ["--backend", "remote", "--remote-url", server.url]
    assert main([*run, "--max-images", "1"]) == 0
    server.kill()
    assert main([*run, "--resume"]) == 1
    assert "no server listens there" in capsys.readouterr().err
    server.start()
    server.behave("probes only")
    assert main([*run, "--resume"]) == 1
    assert "HTTP 503" in capsys.readouterr().err
    server.behave()
    assert main([*run, "--resume"]) == 0
    assert len(lines(tmp_path / "out")) >= 3
