"""The engine on a server, against a real server process."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
from model_server import ModelServer

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.detection.engine import EngineUnavailableError, Tensors
from trt_ssd_ros.engines import backend
from trt_ssd_ros.engines.backend import EngineChoice, open_detector, open_detectors
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.remote_engine import RemoteEngine
from trt_ssd_ros.engines.remote_server import TOKEN_VARIABLE, RemoteOptions, ServerRefusedError
from trt_ssd_ros.models.card import ModelCard

PATIENT = 10.0
"""Deadline in seconds of requests that must not fail on a busy machine."""
SHORT = 0.3
"""Deadline in seconds of requests that a test lets fail."""


@pytest.fixture
def engine(server: ModelServer, card: ModelCard) -> Iterator[RemoteEngine]:
    """An engine on the server."""
    with closing(RemoteEngine(card, RemoteOptions(server.url, timeout=PATIENT))) as engine:
        yield engine


@pytest.fixture
def inputs(card: ModelCard, photo: Callable[..., np.ndarray]) -> Callable[..., Tensors]:
    """Inputs of the graph: inputs("chelsea", "astronaut", order="rgb", score=0.1)."""

    def make(*names: str, order: str = "bgr", score: float = 0.01, iou: float = 0.5) -> Tensors:
        size = card.input.width, card.input.height
        return {
            "image": np.stack([photo(name, *size) for name in names]),
            "channel_order": CHANNEL_ORDERS[order],
            "class_threshold": np.full(len(card.labels), score, np.float32),
            "iou_threshold": np.array([iou], np.float32),
        }

    return make


def expect_equal(found: Tensors, expected: Tensors) -> None:
    """Require equal outputs, bit for bit."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_outputs_are_those_of_the_local_engine_bit_for_bit(engine, shipped_engine, inputs, order):
    for names in (["chelsea"], ["chelsea", "astronaut", "coffee"]):
        tensors = inputs(*names, order=order, score=0.2, iou=0.3)
        expect_equal(engine.run(tensors), shipped_engine.run(tensors))


def test_the_check_accepts_the_server_of_the_card(engine):
    engine.check()
    engine.check(batch=3)


def test_wrong_inputs_are_refused_before_they_are_sent(engine, inputs):
    with pytest.raises(ValueError, match="input image: found float32"):
        engine.run({**inputs("chelsea"), "image": np.zeros((1, 300, 300, 3), np.float32)})


LIES = ["other id", "other graph", "other classes", "not a number", "lost tensor", "short"]
PAGES = ["page", "deep", "number", "empty", "huge", "overloaded"]


@pytest.mark.parametrize("behaviour", [*LIES, *PAGES])
def test_a_wrong_answer_is_an_error_and_the_next_is_right(server, engine, shipped_engine, inputs, behaviour):
    server.behave(behaviour)
    with pytest.raises(EngineUnavailableError, match=server.url):
        engine.run(inputs("chelsea"))
    server.behave()
    tensors = inputs("astronaut")
    expect_equal(engine.run(tensors), shipped_engine.run(tensors))


@pytest.mark.parametrize("behaviour", ["slow", "dripping"])
def test_a_late_answer_reaches_no_later_request(server, card, shipped_engine, inputs, behaviour):
    with closing(RemoteEngine(card, RemoteOptions(server.url, timeout=SHORT))) as engine:
        server.behave(behaviour)
        with pytest.raises(EngineUnavailableError, match=r"no answer within 0\.3 s"):
            engine.run(inputs("chelsea"))
        server.behave()
        tensors = inputs("astronaut")
        engine._timeout = PATIENT
        expect_equal(engine.run(tensors), shipped_engine.run(tensors))


def test_a_connection_that_the_server_closes_is_opened_again(server, engine, inputs, shipped_engine):
    server.behave("closing")
    for name in ("chelsea", "astronaut", "coffee"):
        expect_equal(engine.run(inputs(name)), shipped_engine.run(inputs(name)))


def test_a_connection_with_an_answer_to_another_request_is_not_used_again(server, engine, inputs, shipped_engine):
    server.behave("behind")
    expect_equal(engine.run(inputs("chelsea")), shipped_engine.run(inputs("chelsea")))
    with pytest.raises(EngineUnavailableError, match="expected id"):
        engine.run(inputs("astronaut"))
    expect_equal(engine.run(inputs("coffee")), shipped_engine.run(inputs("coffee")))


def test_another_model_is_named_with_what_the_card_needs(server, engine):
    server.behave("other model")
    with pytest.raises(ServerRefusedError, match=r"class_thresholds.*20.*expected FP32 \['N', 90\].*remote_model"):
        engine.check()


def test_another_graph_with_the_same_tensors_is_refused(server, engine):
    server.behave("other graph")
    with pytest.raises(ServerRefusedError, match="found another graph, expected the graph of the model card"):
        engine.check()


def test_a_web_page_is_no_model(server, engine):
    server.behave("page")
    with pytest.raises(ServerRefusedError, match="hello"):
        engine.check()


def test_a_token_comes_from_a_file_or_the_environment_and_is_never_shown(server, card, tmp_path, monkeypatch):
    server.expect("secret-1")
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.write_text("secret-2\n")
    right.write_text("secret-1\n")
    with pytest.raises(ServerRefusedError, match=r"refuses the token.*remote_token_file") as refused:
        RemoteEngine(card, RemoteOptions(server.url, token_file=str(wrong))).check()
    assert "secret" not in str(refused.value)
    RemoteEngine(card, RemoteOptions(server.url, token_file=str(right), timeout=PATIENT)).check()
    monkeypatch.setenv(TOKEN_VARIABLE, "secret-1")
    RemoteEngine(card, RemoteOptions(server.url, timeout=PATIENT)).check()


@pytest.mark.parametrize("content", ["", "two words", "a\nHost: b", "caf\xe9"])
def test_a_file_without_a_token_is_refused_and_not_shown(card, tmp_path, content):
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"remote_token_file {path}: found no token") as refused:
        RemoteEngine(card, RemoteOptions("http://localhost", token_file=str(path)))
    assert not content or content not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gpu-server:8000",
        "ftp://gpu-server",
        "http://",
        "http://u:pass@gpu-server",
        "http://:pass@gpu-server",
        "http://u:/pass@gpu-server",
        "http://u:[pass@gpu-server",
        "http://u:pass/@gpu-server",
        "http://gpu:port",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_refused(card, url):
    with pytest.raises(ValueError, match=r"remote_url: found .*expected the server's address") as refused:
        RemoteEngine(card, RemoteOptions(url))
    assert "pass@" not in str(refused.value)
    assert "pass'" not in str(refused.value)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"remote_timeout: found 0, expected 0\.01 to 10 seconds"):
        RemoteOptions(timeout=0)
    with pytest.raises(ValueError, match="remote_fallback: found 'cpu', expected one of onnxruntime, none"):
        RemoteOptions(fallback="cpu")


def test_tls_needs_the_certificates_that_signed_the_server_s(card_path, card, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    server = ModelServer(card_path, tmp_path, [certificate, key])
    try:
        with pytest.raises(ServerRefusedError, match=r"its certificate is not trusted.*set remote_ca_file"):
            RemoteEngine(card, RemoteOptions(server.url, timeout=PATIENT)).check()
        RemoteEngine(card, RemoteOptions(server.url, ca_file=str(certificate), timeout=PATIENT)).check()
    finally:
        server.kill()


def test_a_detector_sends_images_of_the_size_of_the_network(server, card, hear, photo, detector):
    heard = hear(backend)
    options = RemoteOptions(server.url, timeout=PATIENT)
    choice = EngineChoice("remote", "fp16", resize_on="engine", gpu=1, remote=options)
    with closing(open_detector(card, choice)) as remote:
        assert "resizes on the host" in heard.text
        assert "precision: found fp16, but backend remote ignores it: the server decides" in heard.text
        assert "gpu: found 1, but backend remote ignores it" in heard.text
        assert "gpu_wait" not in heard.text
        assert (remote.engine_kind, remote.resize_on, remote.precision) == ("remote", "host", "unknown")
        assert remote.engine_name == f"{card.name} at {server.url}"
        detector.resize_on = "host"
        found, expected = remote.detect(photo("chelsea")), detector.detect(photo("chelsea"))
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        assert len(found) == 1


def test_more_images_than_the_batch_of_the_check_are_divided(server, card, photo, detector):
    choice = EngineChoice("remote", remote=RemoteOptions(server.url, timeout=PATIENT)).for_views(2)
    detector.resize_on = "host"
    images = [photo(name) for name in ("chelsea", "astronaut", "coffee")]
    with closing(open_detector(card, choice)) as remote:
        assert remote.batch_sizes == (2,)
        for found, expected in zip(remote.detect_batch(images), detector.detect_batch(images), strict=True):
            np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_several_detectors_share_the_local_engine_and_have_connections_of_their_own(server, card):
    choice = EngineChoice("remote", remote=RemoteOptions(server.url, timeout=PATIENT))
    with LoggedProgress() as progress:
        detectors = open_detectors(card, choice, (), progress)
    assert len({id(detector._engine._local) for detector in detectors}) == 1
    assert len({id(detector._engine._remote) for detector in detectors}) == len(detectors) == 4
    for detector in detectors:
        detector.close()


def test_an_opening_that_fails_leaves_no_thread(card, monkeypatch):
    """The first connection finds no server, and the second one a server with another model."""
    problems = iter([lambda: "not there", refuse])
    monkeypatch.setattr(backend, "_problem", lambda *_: next(problems)())
    before = set(threading.enumerate())
    choice = EngineChoice("remote", remote=RemoteOptions("http://127.0.0.1:9"))
    with LoggedProgress() as progress, pytest.raises(ServerRefusedError, match="another model"):
        open_detectors(card, choice, (), progress)
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "server_probe"] == []


def refuse() -> str:
    raise ServerRefusedError("another model")


def test_without_a_server_and_a_fallback_the_opening_fails(card):
    choice = EngineChoice("remote", remote=RemoteOptions("http://127.0.0.1:9", fallback="none"))
    with pytest.raises(EngineUnavailableError, match=r"http://127.0.0.1:9: no server listens there: start it"):
        open_detector(card, choice)


def test_a_server_with_another_model_fails_the_opening_also_with_a_fallback(server, card):
    server.behave("other model")
    with pytest.raises(ServerRefusedError, match="class_thresholds"):
        open_detector(card, EngineChoice("remote", remote=RemoteOptions(server.url, timeout=PATIENT)))
