"""TensorRt: the installed TensorRT, else TensorRT for RTX, and its log."""

from __future__ import annotations

import importlib
import logging
import os
from collections import deque
from functools import cache
from typing import Any

LOGGER = logging.getLogger(__name__)
NO_TF32 = ("NVIDIA_TF32_OVERRIDE", "0")
"""With TF32, scores in fp32 are off by 1e-3, without it by 2e-5; TensorRT for RTX ignores the builder's flag."""
FLAVOURS = ("tensorrt", "tensorrt_rtx")


class TensorRt:
    """The TensorRT module and a logger that remembers what it said last.

    Attributes:
        module: `tensorrt` or `tensorrt_rtx`.
        flavour: The module's name.
        version: Its full version.
        logger: Handed to everything TensorRT makes.

    Raises:
        RuntimeError: Neither is installed; says what each import said.
    """

    def __init__(self) -> None:
        self.module = _import_first()
        self.flavour: str = self.module.__name__
        self.version: str = self.module.__version__
        self._said: deque[str] = deque(maxlen=5)
        self.logger = _new_logger(self.module, self._said)

    def forget(self) -> None:
        """Begin anew: what was said until now is no reason for a failure to come."""
        self._said.clear()

    def failure(self, what: str) -> RuntimeError:
        """Return an error that says what failed, in TensorRT's own words."""
        words = "; ".join(self._said) or "it does not say why"
        self.forget()
        return RuntimeError(f"{self.flavour} {self.version} {what}: {words}")


@cache
def load_tensorrt() -> TensorRt:
    """Return the one TensorRt of this process: TensorRT keeps the first logger it gets and ignores all others.

    Raises:
        RuntimeError: It is not installed.
    """
    os.environ.setdefault(*NO_TF32)
    return TensorRt()


def _import_first() -> Any:
    refusals = []
    for name in FLAVOURS:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            refusals.append(f"{name}: {error}")
    raise RuntimeError(f"TensorRT cannot be imported ({'; '.join(refusals)}): see docs/engines.md")


def _new_logger(trt: Any, said: deque[str]) -> Any:
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.WARNING,
    }

    class Log(trt.ILogger):  # type: ignore[misc]
        """Feeds Python's logging."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            """Remember errors, pass everything on."""
            level = levels.get(severity, logging.DEBUG)
            LOGGER.log(level, message)
            if level == logging.ERROR:
                said.append(message)

    return Log()
