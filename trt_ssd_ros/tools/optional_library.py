"""Libraries that only some tools need: imported when they are, with one line on how to install them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load_library(module: str, distribution: str, purpose: str) -> Any:
    """Return a module that may not be installed.

    Args:
        module: Its name.
        distribution: What pip calls it.
        purpose: What needs it, to begin the error with.

    Raises:
        RuntimeError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise RuntimeError(f"{purpose} needs {distribution} ({error}): pip install {distribution}") from error
