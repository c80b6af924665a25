"""The processes under test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from probe import PATIENCE
from reaper import reaper

from trt_ssd_ros.ros.transport import PROFILE_VARIABLES


class NodeProcess:
    """A process under test; all that it prints goes into a file. It ends with the test run, also a killed one."""

    def __init__(self, command: Sequence[str], domain: int, log: Path, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in PROFILE_VARIABLES}
        changed = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(log.parent), "PYTHONUNBUFFERED": "1"}
        self._log = log
        self._ended_by_test = False
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**inherited, **changed, **environment},
                start_new_session=True,
            )
        self.pid = self._process.pid
        reaper().watch(self.pid)

    @property
    def log(self) -> str:
        """All it has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it and its children a signal, as a terminal does."""
        os.killpg(self.pid, number)

    def wait_until_it_says(self, text: str, patience: float = PATIENCE, after: int = 0) -> None:
        """Wait for it to print something, behind the first characters of its log."""
        end = time.monotonic() + patience
        while text not in self.log[after:]:
            if not self.running or time.monotonic() > end:
                pytest.fail(f"waited in vain for the process to say {text!r}; it said:\n{self.log}")
            time.sleep(0.02)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end and return its exit code."""
        self._ended_by_test = True
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the process did not end within {patience:g} s; it said:\n{self.log}")

    def close(self) -> None:
        """End it if it still runs, show what it said, and fail unless it ended in good order."""
        stopped_by_us = self.running
        if stopped_by_us:
            self.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGKILL)
            code = self._process.wait()
        reaper().forget(self.pid)
        print(f"--- {' '.join(self._process.args)} ended with {code}, having said:\n{self.log}")
        if not self._ended_by_test:
            assert (stopped_by_us, code) == (True, 0), f"the process ended with {code} on its own or by force"
            assert "Traceback" not in self.log
