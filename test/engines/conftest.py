"""What the tests of the engines share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def hear(caplog, monkeypatch) -> Callable[..., pytest.LogCaptureFixture]:
    """Hear what a module logs, also where launch's pytest plugin keeps loggers from caplog."""

    def listen(module: ModuleType, level: int = logging.NOTSET) -> pytest.LogCaptureFixture:
        logger = logging.Logger(module.__name__, level)
        logger.addHandler(caplog.handler)
        monkeypatch.setattr(module, "LOGGER", logger)
        return caplog

    return listen
