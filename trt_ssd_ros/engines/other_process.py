"""OtherProcess: a call that runs in a process of its own while this one goes on."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from trt_ssd_ros.errors import one_line

POLL_SECONDS = 0.1
START = f"import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); import {__name__} as this; this.main()"
"""What the process runs: with the modules that this one finds, and none of the folder that it was started in."""


class OtherProcess:
    """Starts when entered; leaving waits for it, unless by an error, which kills it. It ends with this process.

    Args:
        call: Of a module, with arguments that can be pickled. What goes wrong in it is one line on stderr.
        cancelled: Tells whether to stop waiting and kill it.

    Attributes:
        exit_code: 0 once the call has returned; None until this was left, and whatever else where it failed.
    """

    def __init__(self, call: Callable[[], object], cancelled: Callable[[], bool]) -> None:
        self.exit_code: int | None = None
        self._job = pickle.dumps(sys.path) + pickle.dumps(call)
        self._cancelled = cancelled

    def __enter__(self) -> OtherProcess:
        self._process = subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-I", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process, which may then kill that one
        )
        try:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.write(self._job)
                self._process.stdin.flush()  # not closed: its end tells that this process is gone
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            while kind is None and self._process.poll() is None and not self._cancelled():
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(POLL_SECONDS)
        finally:
            self._end()

    def _end(self) -> None:
        self._process.kill()
        self.exit_code = self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


def main() -> None:
    """Make the call that is on stdin."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        call = pickle.load(sys.stdin.buffer)  # noqa: S301 - who started this process wrote it
        threading.Thread(target=_end_with_parent, daemon=True).start()
        call()
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(one_line(error))


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # unbuffered: who holds a buffer's lock when the call has ended aborts
        pass
    os._exit(1)
