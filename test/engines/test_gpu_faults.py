"""However a process with an engine on the GPU ends, it ends in order, and a fault has one clear reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gpu import NEEDS_GPU

pytestmark = NEEDS_GPU


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[int, str]]:
    """Run gpu_process.py one way and return its exit code and what it said."""
    environment = {**os.environ, "TRT_SSD_ENGINE_DIR": str(tmp_path_factory.mktemp("plans"))}

    def run(way: str) -> tuple[int, str]:
        command = [sys.executable, str(Path(__file__).parents[1] / "support" / "gpu_process.py"), way]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    ("way", "code", "last"),
    [
        ("normal", 0, ""),
        ("forgotten", 0, ""),
        ("exception", 1, "RuntimeError: something else went wrong"),
        ("interrupted", -2, "KeyboardInterrupt"),
    ],
)
def test_no_way_to_end_aborts(end, way, code, last):
    found, said = end(way)
    assert (found, "context stack" in said) == (code, False), said
    assert last in said.strip().split("\n")[-1]


def test_a_broken_gpu_is_an_error_that_says_so(end):
    code, said = end("sticky")
    assert code == 1, said
    assert "RuntimeError: " in said
    assert "illegal" in said or "CUDA error 700" in said


def test_no_memory_to_open_an_engine_is_an_error_that_says_so(end):
    code, said = end("no_memory_to_open")
    assert code == 1, said
    assert "memory" in said.strip().split("\n")[-1]


def test_no_memory_for_an_image_is_an_error_and_smaller_ones_go_on(end):
    code, said = end("no_memory_for_an_image")
    assert code == 0, said
    assert "refused: " in said
    assert "out of memory" in said
    assert "afterwards: 0 found" in said
