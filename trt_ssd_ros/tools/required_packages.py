"""The packages that every tool needs, and one line in place of a traceback where one is missing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

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


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Take the place of `sys.excepthook` while the modules of a tool are imported."""
    text = "interrupted" if kind is KeyboardInterrupt else missing_package(error)
    if text:
        sys.stderr.write(f"{Path(sys.argv[0]).stem}: {text}\n")
    else:
        sys.__excepthook__(kind, error, trace)
