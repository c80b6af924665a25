"""A real RTSP server that can be killed and started again at the same address."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).parent / "rtsp_server.py"


class RtspServer:
    """Serves a clip of photos as H.264, 640x480 at 30 Hz, over and over.

    Args:
        folder: Gets the clip and the server's log.
        photos: Shown one second each.
    """

    def __init__(self, folder: Path, photos: list[Path]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._command = [sys.executable, str(SCRIPT), str(folder), str(self._port), *map(str, photos)]
        self._log = folder / "server.log"
        self.address = f"rtsp://127.0.0.1:{self._port}/clip.mp4?play_count=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, as when the camera loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def silent(self) -> Iterator[Callable[[], tuple[socket.socket, object]]]:
        """Listen in the place of the killed server without ever answering; yields a function that accepts."""
        with socket.create_server(("127.0.0.1", self._port)) as listener:
            listener.settimeout(30)
            yield listener.accept
