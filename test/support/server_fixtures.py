"""Fixtures of the tests that share an inference server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import ModelServer


@pytest.fixture(scope="module")
def shared_server(card_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A server for all tests of a module, which leave it running."""
    server = ModelServer(card_path, tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(shared_server: ModelServer) -> Iterator[ModelServer]:
    """A server that behaves well before and after the test."""
    yield shared_server
    shared_server.behave()
    shared_server.expect("")
