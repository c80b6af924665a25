"""Errors in one line, exit codes, closed pipes, and optional imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

INTERRUPTED = 130
"""Exit code that shells report for a process ended by SIGINT."""
BROKEN_PIPE = 141
"""Exit code that shells report for a process that SIGPIPE ended."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun as text: 1 image, 2 images."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def one_line(error: BaseException) -> str:
    """Return an error's text on one line, with each run of white space as one space."""
    return " ".join(str(error).split())


def discard_stdout() -> None:
    """Redirect stdout to /dev/null once its reader has closed the pipe: Python flushes it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


REQUIRED: Mapping[str, str] = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "onnx": "onnx",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
}
"""Required modules and their package names on PyPI."""


def missing_package(error: BaseException) -> str:
    """Return the missing or broken package and how to install it; empty for any other error."""
    # OpenCV 4.5 raises an error without a name: "numpy.core.multiarray failed to import".
    module = (error.name or str(error)).partition(".")[0] if isinstance(error, ImportError) else ""
    if module not in REQUIRED:
        return ""
    return f"{module} cannot be imported ({error}): pip install {REQUIRED[module]}; doctor checks all packages"


def explain_imports() -> None:
    """Print a missing package as one line instead of a traceback; call it in the package of a tool.

    `python -m` imports the package before the tool, whose imports may then fail. A program that imports the tool
    keeps its own hook.
    """
    if sys.argv[:1] == ["-m"]:
        sys.excepthook = _explain


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = "interrupted" if kind is KeyboardInterrupt else missing_package(error)
    if text:
        path = Path(sys.argv[0])
        name = path.parent.name if path.stem == "__main__" else path.stem
        sys.stderr.write(f"{name}: {text}\n")
        sys.excepthook = lambda *_: None  # OpenCV 4.5 reports a missing NumPy itself, and then raises again
    else:
        sys.__excepthook__(kind, error, trace)


def load_library(module: str, distribution: str, purpose: str) -> Any:
    """Return a module that may not be installed.

    Args:
        module: Module name.
        distribution: Package name on PyPI.
        purpose: Task that needs the module, at the start of the error message.

    Raises:
        RuntimeError: The module cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise RuntimeError(f"{purpose} needs {distribution} ({error}): pip install {distribution}") from error


def load_pyplot() -> Any:
    """Return matplotlib.pyplot with a backend that needs no display.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    load_library("matplotlib", "matplotlib", "plotting").use("Agg")
    return load_library("matplotlib.pyplot", "matplotlib", "plotting")
