"""A call in a process of its own, with real processes."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from trt_ssd_ros.engines.other_process import OtherProcess

LONG = partial(time.sleep, 600)


def never() -> bool:
    return False


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_leaving_waits_for_what_the_call_does(tmp_path):
    with OtherProcess(partial(Path.touch, tmp_path / "made"), never) as other:
        assert other.exit_code is None
    assert other.exit_code == 0
    assert (tmp_path / "made").exists()


def test_it_finds_the_modules_that_this_process_finds(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def call():\n    raise SystemExit(7)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with OtherProcess(only_here.call, never) as other:
        pass
    assert other.exit_code == 7


def test_a_runtime_error_is_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "failing.py").write_text("def call():\n    raise RuntimeError('no GPU\\nanswers')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import failing

    with OtherProcess(failing.call, never) as other:
        pass
    assert other.exit_code == 1
    assert capfd.readouterr().err == "no GPU answers\n"


def test_an_error_kills_it():
    other = OtherProcess(LONG, never)
    with pytest.raises(ValueError, match="of this process"), other:
        raise ValueError("of this process")
    assert other.exit_code == -9
    assert not is_running(other._process.pid)


def test_being_cancelled_kills_it():
    with OtherProcess(LONG, lambda: True) as other:
        pass
    assert other.exit_code == -9


def test_a_call_larger_than_a_pipe_arrives():
    with OtherProcess(partial(len, bytes(1 << 20)), never) as other:
        pass
    assert other.exit_code == 0


def test_a_process_that_cannot_read_its_call_is_only_a_failure(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with OtherProcess(partial(len, bytes(1 << 20)), never) as other:
        pass
    assert other.exit_code == 1
