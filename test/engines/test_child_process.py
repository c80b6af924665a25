"""A call in a process of its own, with real processes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from trt_ssd_ros.engines.child_process import ChildProcess

LONG = partial(time.sleep, 600)


def note_and_sleep(path: str) -> None:
    part = Path(f"{path}.part")
    part.write_text(str(os.getpid()))
    part.rename(path)
    time.sleep(600)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def never() -> bool:
    return False


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_leaving_waits_for_what_the_call_does(tmp_path):
    with ChildProcess(partial(Path.touch, tmp_path / "made"), never) as other:
        assert other.exit_code is None
    assert other.exit_code == 0
    assert (tmp_path / "made").exists()


def test_it_finds_the_modules_that_this_process_finds(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def call():\n    raise SystemExit(7)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with ChildProcess(only_here.call, never) as other:
        pass
    assert other.exit_code == 7


def test_a_runtime_error_is_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "failing.py").write_text("def call():\n    raise RuntimeError('no GPU\\nanswers')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import failing

    with ChildProcess(failing.call, never) as other:
        pass
    assert other.exit_code == 1
    assert capfd.readouterr().err == "no GPU answers\n"


def test_an_error_kills_it():
    other = ChildProcess(LONG, never)
    with pytest.raises(ValueError, match="of this process"), other:
        raise ValueError("of this process")
    assert other.exit_code == -9
    assert not is_running(other._process.pid)


def test_being_cancelled_kills_it():
    with ChildProcess(LONG, lambda: True) as other:
        pass
    assert other.exit_code == -9


def test_a_call_larger_than_a_pipe_arrives():
    with ChildProcess(partial(len, bytes(1 << 20)), never) as other:
        pass
    assert other.exit_code == 0


def test_a_process_that_cannot_read_its_call_is_only_a_failure(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with ChildProcess(partial(len, bytes(1 << 20)), never) as other:
        pass
    assert other.exit_code == 1


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path):
    started = tmp_path / "started"
    script = (
        "import time; from functools import partial; from test_child_process import note_and_sleep; "
        "from trt_ssd_ros.engines.child_process import ChildProcess\n"
        f"with ChildProcess(partial(note_and_sleep, {str(started)!r}), lambda: False): time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as parent:
        wait_until(started.exists)
        parent.kill()
    wait_until(lambda: not is_running(int(started.read_text())))


def test_it_takes_signals_that_this_process_blocks(tmp_path):
    started = tmp_path / "started"
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with ChildProcess(partial(note_and_sleep, str(started)), never) as other:
            wait_until(started.exists)
            os.kill(int(started.read_text()), signal.SIGTERM)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert other.exit_code == -signal.SIGTERM


def test_ctrl_c_is_not_for_it(tmp_path):
    with ChildProcess(partial(note_and_sleep, str(tmp_path / "started")), lambda: True) as other:
        assert os.getsid(other._process.pid) != os.getsid(0)


def test_the_folder_that_it_is_started_in_is_no_place_for_modules(tmp_path, monkeypatch, capfd):
    (tmp_path / "fractions.py").write_text("raise SystemExit('fractions of the folder was imported')")
    monkeypatch.chdir(tmp_path)
    with ChildProcess(partial(importlib.import_module, "fractions"), never) as other:
        pass
    assert (other.exit_code, capfd.readouterr().err) == (0, "")
