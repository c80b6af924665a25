"""The engine on a server against Triton itself, as scripts/serve_model.py starts it without docker.

scripts/bootstrap --fleet installs Triton in a Python of its own, where it has a wheel.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from model_server import PATIENCE, TritonServer

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.detection.engine import EngineUnavailableError, Tensors
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines import fallback_engine
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.remote_engine import RemoteEngine
from trt_ssd_ros.engines.remote_server import RemoteOptions, RemoteServer, ServerRefusedError
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.tools.triton_model import write_triton_model

PYTHON = os.environ.get("TRT_SSD_TRITON_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="Triton is not installed: TRT_SSD_TRITON_PYTHON is not set")
PATIENT = 10.0
"""Deadline in seconds of requests that must not fail on a busy machine."""
BATCH = 4
READ_CONFIG = """
import sys
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
config = text_format.Parse(open(sys.argv[1]).read(), ModelConfig())
print(config.max_batch_size, len(config.input), len(config.output), len(config.model_warmup))
print(*config.parameters)
"""
"""Program that reads a config.pbtxt with Triton's own definition of it."""
READ_BATCH = """
import sys, serve_model
print(serve_model.batch_of(serve_model.open_session(sys.argv[1], 1), 8))
"""
"""Program that prints how many images at once the server takes."""


@pytest.fixture(scope="module")
def models(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository as build_engine --triton writes it."""
    folder = tmp_path_factory.mktemp("repository")
    write_triton_model(folder, card, BATCH)
    return folder


@pytest.fixture(scope="module")
def triton(models: Path, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server of the card's model."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    script = Path(__file__).parents[2] / "scripts" / "serve_model.py"
    log = tmp_path_factory.mktemp("triton") / "log"
    with closing(TritonServer(Path(PYTHON), script, models, card.name, port, log)) as server:
        yield server


@pytest.fixture
def pictures(card: ModelCard, photo: Callable[..., np.ndarray]) -> list[Tensors]:
    """Inputs of the graph for different pictures, each with its own thresholds."""
    size = card.input.width, card.input.height
    return [
        {
            "image": photo(name, *size)[None],
            "channel_order": CHANNEL_ORDERS["bgr"],
            **Thresholds.uniform(card, score).tensors,
        }
        for name, score in (("chelsea", 0.01), ("astronaut", 0.1), ("coffee", 0.3))
    ]


def expect_own_outputs(engine: RemoteEngine, reference: OnnxRuntimeEngine, pictures: list[Tensors]) -> None:
    """Require the local engine's outputs for each picture, bit for bit."""
    for picture in pictures:
        found = engine.run(picture)
        for name, array in reference.run(picture).items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_server_says_that_it_is_ready_and_nothing_else(triton, card):
    ready = f"serve_model: {card.name} is ready at {triton.url}, up to 8 images at once; Ctrl-C ends it"
    assert triton.log.read_text().splitlines() == [ready]


def test_triton_reads_the_configuration(models, card):
    command = [PYTHON, "-c", READ_CONFIG, str(models / card.name / "config.pbtxt")]
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == f"{BATCH} 3 6 3\ngraph_sha256"


def test_outputs_are_those_of_the_local_engine_bit_for_bit(triton, card, shipped_engine, pictures):
    with closing(RemoteEngine(card, RemoteOptions(triton.url, timeout=PATIENT))) as engine:
        engine.check(BATCH)
        expect_own_outputs(engine, shipped_engine, pictures)


def test_robots_that_share_batches_get_their_own_answers(triton, card, shipped_engine, pictures):
    def robot(number: int) -> None:
        own = pictures[number % 3 :] + pictures[: number % 3]
        with closing(RemoteEngine(card, RemoteOptions(triton.url, timeout=PATIENT))) as engine:
            for _ in range(5):
                expect_own_outputs(engine, shipped_engine, own)

    with ThreadPoolExecutor(6) as robots:
        list(robots.map(robot, range(6)))


def test_a_model_that_triton_does_not_have_is_named(triton, card):
    choice = EngineChoice("remote", remote=RemoteOptions(triton.url, "stranger", timeout=PATIENT, fallback="none"))
    with pytest.raises(EngineUnavailableError, match=r"unknown model: 'stranger'.*load the model.*remote_model"):
        open_detector(card, choice)


def test_a_detector_starts_without_its_model_and_uses_it_once_triton_has_it(triton, card, photo, monkeypatch):
    monkeypatch.setattr(fallback_engine, "PROBE_PERIOD", 0.02)
    RemoteServer(RemoteOptions(triton.url)).request(
        "POST", f"/v2/repository/models/{card.name}/unload", PATIENT, b"{}"
    )
    choice = EngineChoice("remote", remote=RemoteOptions(triton.url, timeout=PATIENT))
    with closing(open_detector(card, choice)) as detector:
        assert f"unknown model: '{card.name}' has no available versions" in detector.degraded
        expected = detector.detect(photo("chelsea"))
        assert detector.engine_name.startswith("ONNX Runtime")
        triton.kill()
        triton.start()
        end = time.monotonic() + PATIENCE
        while detector.degraded:
            assert time.monotonic() < end
            found = detector.detect(photo("chelsea"))
        assert detector.engine_name == f"{card.name} at {triton.url}"
        np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_a_batch_above_triton_s_limit_is_refused(triton, card):
    engine = RemoteEngine(card, RemoteOptions(triton.url, timeout=PATIENT))
    with closing(engine), pytest.raises(ServerRefusedError, match="batch-size must be <= 8"):
        engine.check(batch=9)


def test_triton_may_be_killed_and_restarted(triton, card, shipped_engine, pictures):
    with closing(RemoteEngine(card, RemoteOptions(triton.url, timeout=PATIENT))) as engine:
        expect_own_outputs(engine, shipped_engine, pictures)
        triton.kill()
        with pytest.raises(EngineUnavailableError, match=triton.url):
            engine.run(pictures[0])
        triton.start()
        expect_own_outputs(engine, shipped_engine, pictures)


def test_requests_for_a_network_for_single_images_are_not_joined(single_card_path, tmp_path):
    model, _ = write_triton_model(tmp_path, ModelCard.load(single_card_path), BATCH)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    command = [PYTHON, "-c", READ_BATCH, str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "1"
