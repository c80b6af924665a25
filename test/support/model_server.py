"""ModelServer: an inference server as a process, which a test kills, freezes, restarts and leads astray."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from reaper import reaper

from trt_ssd_ros.bench.two_machines import Machine

PATIENCE = 60.0
SERVER = Path(__file__).parent / "kserve_server.py"


class ModelServer:
    """A server with a folder that tells it what to do; see kserve_server.py.

    Args:
        card_path: Card of the served model.
        folder: Folder of the server.
        files: Certificate and key, for https.
        machine: Machine to run on; None: this one.
    """

    def __init__(
        self, card_path: Path, folder: Path, files: Sequence[Path] = (), machine: Machine | None = None
    ) -> None:
        self._folder = folder
        self._command = [sys.executable, str(SERVER), str(card_path), str(folder), *map(str, files)]
        if machine is not None:
            self._command = machine.command(self._command)
            (folder / "address").write_text(machine.address)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start the server, at the address of the last start."""
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        reaper().watch(self._process.pid)
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"serving at (\S+)", (self._folder / "log").read_text())):
            if self._process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the server does not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.02)
        self.url = found[1]

    def behave(self, behaviour: str = "") -> None:
        """Misbehave from the next request on; empty: behave well."""
        (self._folder / "behaviour").write_text(behaviour)

    def expect(self, token: str) -> None:
        """Expect a token from the next request on."""
        (self._folder / "token").write_text(token)

    def send_signal(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the server by force."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        reaper().forget(self._process.pid)


class TritonServer:
    """Triton by pip, as scripts/serve_model.py starts it; `log` is the file with its messages."""

    def __init__(self, python: Path, script: Path, repository: Path, model: str, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [str(python), str(script), str(repository), model, "--port", str(port)]
        self._command, self.log = command, log
        self.start()

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        library = subprocess.run(
            [self._command[0], "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": library},
            )
        reaper().watch(self._process.pid)
        end = time.monotonic() + PATIENCE
        while "is ready at" not in self.log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"Triton does not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End the server and its processes by force."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send the server and its processes a signal."""
        os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End the server."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        reaper().forget(self._process.pid)
