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
    """TensorRT module and a logger that remembers the latest errors.

    Attributes:
        module: Module `tensorrt` or `tensorrt_rtx`.
        flavour: Name of the module.
        version: Full version of TensorRT.
        logger: Logger of all TensorRT objects.

    Raises:
        RuntimeError: Neither module can be imported; the message has both import errors.
    """

    def __init__(self) -> None:
        self.module = _import_first()
        self.flavour: str = self.module.__name__
        self.version: str = self.module.__version__
        self._errors: deque[str] = deque(maxlen=5)
        self.logger = _new_logger(self.module, self._errors)

    def clear_errors(self) -> None:
        """Discard the remembered errors, which are not the cause of a later failure."""
        self._errors.clear()

    def failure(self, what: str) -> RuntimeError:
        """Return an error that says what failed, with TensorRT's latest errors."""
        words = "; ".join(self._errors) or "TensorRT logged no error"
        self.clear_errors()
        return RuntimeError(f"{self.flavour} {self.version} {what}: {words}")


@cache
def load_tensorrt() -> TensorRt:
    """Return the only TensorRt of this process: TensorRT keeps its first logger and ignores all others.

    Raises:
        RuntimeError: TensorRT cannot be imported.
    """
    os.environ.setdefault(*NO_TF32)
    return TensorRt()


def _import_first() -> Any:
    errors = []
    for name in FLAVOURS:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            errors.append(f"{name}: {error}")
    raise RuntimeError(f"TensorRT cannot be imported ({'; '.join(errors)}): see docs/engines.md")


def _new_logger(trt: Any, errors: deque[str]) -> Any:
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.WARNING,
    }

    class Log(trt.ILogger):  # type: ignore[misc]
        """Forwards TensorRT's log to Python's logging."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            """Log the message; remember errors."""
            level = levels.get(severity, logging.DEBUG)
            LOGGER.log(level, message)
            if level == logging.ERROR:
                errors.append(message)

    return Log()
