"""The engine that leaves a server and returns, against a real server process."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import SimpleQueue

import numpy as np
import pytest
from model_server import PATIENCE, ModelServer

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.detection.engine import EngineUnavailableError, Tensors
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines import fallback_engine
from trt_ssd_ros.engines.fallback_engine import FallbackEngine
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.remote_engine import RemoteEngine
from trt_ssd_ros.engines.remote_server import RemoteOptions
from trt_ssd_ros.models.card import ModelCard

DEADLINE = 2.0
"""Deadline in seconds of a request: a busy machine answers in it, and a frozen server does not."""


@pytest.fixture
def pictures(card: ModelCard, photo: Callable[..., np.ndarray]) -> list[Tensors]:
    """Inputs of the graph for different pictures."""
    size = card.input.width, card.input.height
    names = ("chelsea", "astronaut", "coffee")
    thresholds = Thresholds.uniform(card, 0.01).tensors
    return [
        {"image": photo(name, *size)[None], "channel_order": CHANNEL_ORDERS["bgr"], **thresholds} for name in names
    ]


class Run:
    """Runs of an engine that must have the outputs of each picture."""

    def __init__(self, engine: FallbackEngine, reference: OnnxRuntimeEngine, pictures: list[Tensors]) -> None:
        self._engine = engine
        self._pictures = pictures
        self._expected = [dict(reference.run(picture)) for picture in pictures]
        self._number = 0

    def __call__(self) -> None:
        """Run the next picture, and compare the outputs with its own."""
        self._number = (self._number + 1) % len(self._pictures)
        found = self._engine.run(self._pictures[self._number])
        for name, array in self._expected[self._number].items():
            np.testing.assert_array_equal(found[name], array)

    def until(self, is_degraded: bool) -> None:
        """Run until the server is left, or used again."""
        end = time.monotonic() + PATIENCE
        while bool(self._engine.degraded) != is_degraded:
            assert time.monotonic() < end, f"degraded: {self._engine.degraded!r}"
            self()


@pytest.fixture
def engine(
    server: ModelServer, card: ModelCard, shipped_engine: OnnxRuntimeEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FallbackEngine]:
    """An engine on the server that falls back."""
    monkeypatch.setattr(fallback_engine, "PROBE_PERIOD", 0.02)
    remote = RemoteEngine(card, RemoteOptions(server.url, timeout=DEADLINE))
    with closing(FallbackEngine(remote, shipped_engine)) as engine:
        yield engine


@pytest.fixture
def run(engine: FallbackEngine, shipped_engine: OnnxRuntimeEngine, pictures: list[Tensors]) -> Run:
    """Runs of the engine that are compared with the local one."""
    return Run(engine, shipped_engine, pictures)


def kill(server: ModelServer) -> None:
    server.kill()


def freeze(server: ModelServer) -> None:
    server.send_signal(signal.SIGSTOP)


def thaw(server: ModelServer) -> None:
    server.send_signal(signal.SIGCONT)


def misbehave(behaviour: str) -> Callable[[ModelServer], None]:
    return lambda server: server.behave(behaviour)


def lock(server: ModelServer) -> None:
    server.expect("another token")


def unlock(server: ModelServer) -> None:
    server.expect("")


FAULTS = [
    pytest.param(kill, ModelServer.start, id="killed"),
    pytest.param(freeze, thaw, id="frozen"),
    pytest.param(misbehave("slow"), ModelServer.behave, id="slow"),
    pytest.param(misbehave("page"), ModelServer.behave, id="rubbish"),
    pytest.param(misbehave("other graph"), ModelServer.behave, id="another model"),
    pytest.param(misbehave("other id"), ModelServer.behave, id="another answer"),
    pytest.param(lock, unlock, id="wrong token"),
]


@pytest.mark.parametrize(("break_it", "mend_it"), FAULTS)
def test_the_local_engine_runs_until_the_server_is_back_and_the_log_says_both_once(
    server, engine, run, hear, break_it, mend_it
):
    heard = hear(fallback_engine, logging.INFO)
    run()
    assert (engine.degraded, engine.name.endswith(server.url)) == ("", True)
    break_it(server)
    run.until(is_degraded=True)
    for _ in range(3):
        run()
    assert server.url in engine.degraded
    assert engine.name.startswith("ONNX Runtime")
    mend_it(server)
    run.until(is_degraded=False)
    run()
    assert engine.name.endswith(server.url)
    levels = [record.levelno for record in heard.records]
    assert levels == [logging.WARNING, logging.INFO], heard.text
    assert "runs instead until the server answers again" in heard.records[0].getMessage()
    assert "answers again and runs" in heard.records[1].getMessage()


def test_many_rounds_leave_no_threads(server, run):
    run()
    before = threading.active_count()
    for _ in range(5):
        server.behave("page")
        run.until(is_degraded=True)
        server.behave()
        run.until(is_degraded=False)
    end = time.monotonic() + PATIENCE
    while threading.active_count() > before:  # the last prober may still be ending
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_that_answers_probes_only_is_probed_less_and_less(server, engine, run):
    server.behave("probes only")
    periods = []
    for _ in range(3):
        run.until(is_degraded=True)
        periods.append(engine._period)
        end = time.monotonic() + PATIENCE
        while not engine._probing.done():
            assert time.monotonic() < end
            time.sleep(0.01)
        run()
    assert periods == [0.02, 0.04, 0.08]
    server.behave()
    run.until(is_degraded=False)


def test_a_server_that_takes_single_images_only_gets_no_batch_again(
    server, card, shipped_engine, pictures, monkeypatch
):
    monkeypatch.setattr(fallback_engine, "PROBE_PERIOD", 0.02)
    remote = RemoteEngine(card, RemoteOptions(server.url, timeout=DEADLINE))
    answers = SimpleQueue[str]()
    check = remote.check

    def heard(*arguments: int) -> None:
        try:
            check(*arguments)
        except EngineUnavailableError:
            answers.put("refused")
            raise
        answers.put("taken")

    monkeypatch.setattr(remote, "check", heard)
    batch = {**pictures[0], "image": np.concatenate([picture["image"] for picture in pictures])}
    with closing(FallbackEngine(remote, shipped_engine, batch=len(pictures))) as engine:
        run = Run(engine, shipped_engine, [batch])
        server.behave("single images")
        run.until(is_degraded=True)
        assert [answers.get(timeout=PATIENCE) for _ in range(2)] == ["refused"] * 2
        server.behave()
        run.until(is_degraded=False)


def test_without_a_local_engine_runs_are_refused_and_the_server_is_used_again(
    server, card, pictures, shipped_engine, monkeypatch
):
    monkeypatch.setattr(fallback_engine, "PROBE_PERIOD", 0.02)
    with closing(FallbackEngine(RemoteEngine(card, RemoteOptions(server.url, timeout=DEADLINE)), None)) as engine:
        run = Run(engine, shipped_engine, pictures)
        run()
        server.behave("page")
        for _ in range(2):
            with pytest.raises(EngineUnavailableError, match=server.url):
                run()
        server.behave()
        end = time.monotonic() + PATIENCE
        while not (engine._probing is not None and engine._probing.done()):
            assert time.monotonic() < end
            time.sleep(0.01)
        run()
        assert not engine.degraded


def test_an_engine_may_start_without_its_server(server, card, pictures, shipped_engine, monkeypatch):
    monkeypatch.setattr(fallback_engine, "PROBE_PERIOD", 0.02)
    server.kill()
    remote = RemoteEngine(card, RemoteOptions(server.url, timeout=DEADLINE))
    with closing(FallbackEngine(remote, shipped_engine, "not there")) as engine:
        run = Run(engine, shipped_engine, pictures)
        run()
        assert engine.degraded == "not there"
        server.start()
        run.until(is_degraded=False)


def test_a_server_that_returns_with_another_model_is_said_once(
    server, card, pictures, shipped_engine, hear, monkeypatch
):
    monkeypatch.setattr(fallback_engine, "PROBE_PERIOD", 0.02)
    heard = hear(fallback_engine, logging.WARNING)
    server.kill()
    remote = RemoteEngine(card, RemoteOptions(server.url, timeout=DEADLINE))
    with closing(FallbackEngine(remote, shipped_engine, "not there")) as engine:
        server.behave("other graph")
        server.start()
        end = time.monotonic() + PATIENCE
        while "found another graph" not in engine.degraded:
            assert time.monotonic() < end
            time.sleep(0.01)
        server.behave()
        Run(engine, shipped_engine, pictures).until(is_degraded=False)
    assert [record.getMessage().count("found another graph") for record in heard.records] == [0, 1]


def test_an_error_of_our_own_in_a_probe_is_raised_and_not_taken_for_one_of_the_server(engine, run, monkeypatch):
    def break_down(_: int) -> None:
        raise AssertionError("a mistake")

    monkeypatch.setattr(engine._remote, "check", break_down)
    engine._leave("for the test")
    with pytest.raises(AssertionError, match="a mistake"):
        run.until(is_degraded=False)


def test_an_engine_closes_while_it_probes_and_twice(server, engine, run):
    run()
    freeze(server)
    run.until(is_degraded=True)
    engine.close()
    engine.close()
    thaw(server)
