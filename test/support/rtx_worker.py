"""A process of its own that has TensorRT for RTX: the one that runs the tests must not find it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import pytest
from plan_process import RTX_PATH


class InRtx(Protocol):
    """Calls a function of a module with arguments, all of which can be pickled, where TensorRT for RTX is."""

    def __call__(self, function: Any, *args: Any) -> Any:
        """Return what the function does."""


@contextmanager
def rtx_worker() -> Iterator[InRtx]:
    """Start the process; skip the test where there is no TensorRT for RTX."""
    if RTX_PATH not in os.environ:
        pytest.skip(f"needs TensorRT for RTX in the folder {RTX_PATH}, which is not set")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_find_in, initargs=(os.environ[RTX_PATH],)) as worker:
        yield lambda function, *args: worker.submit(function, *args).result(timeout=100)


def _find_in(folder: str) -> None:
    sys.path.insert(0, folder)
