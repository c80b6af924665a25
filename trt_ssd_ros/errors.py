"""Errors in one line, exit codes, and optional imports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

INTERRUPTED = 130
"""The exit code that shells give to a process which SIGINT ended."""


def one_line(error: BaseException) -> str:
    """Return an error's text with every run of white space as one blank."""
    return " ".join(str(error).split())


REQUIRED: Mapping[str, str] = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "onnx": "onnx",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
}
"""Modules without which nothing runs, and the names that pip knows them by."""


def missing_package(error: BaseException) -> str:
    """Return which package is missing or broken, and what mends it; empty where something else is wrong."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if module not in REQUIRED:
        return ""
    return f"{module} cannot be imported ({error}): pip install {REQUIRED[module]}; doctor looks at all packages"


def explain_imports() -> None:
    """Give a missing package one line in place of a traceback; call it in the package of a tool.

    `python -m` imports that package before the tool, and the tool imports everything that it needs. A program that
    imports the tool keeps its own hook.
    """
    if sys.argv[:1] == ["-m"]:
        sys.excepthook = _explain


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = "interrupted" if kind is KeyboardInterrupt else missing_package(error)
    if text:
        path = Path(sys.argv[0])
        name = path.parent.name if path.stem == "__main__" else path.stem
        sys.stderr.write(f"{name}: {text}\n")
    else:
        sys.__excepthook__(kind, error, trace)


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


def load_pyplot() -> Any:
    """Return matplotlib's pyplot, drawing into memory.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    load_library("matplotlib", "matplotlib", "plotting").use("Agg")
    return load_library("matplotlib.pyplot", "matplotlib", "plotting")
