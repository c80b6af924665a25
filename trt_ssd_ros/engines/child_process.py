"""ChildProcess: a call that runs in a child process while this process continues."""

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
"""Code of the child process: it imports from the parent's sys.path, not from the working folder."""


class ChildProcess:
    """Child process of a `with` block: its end waits for the child, an error in it kills it.

    The child also ends when its parent ends.

    Args:
        call: Function of a module, with picklable arguments; its errors are one line each on stderr.
        cancelled: Returns whether to stop waiting and kill the child.

    Attributes:
        exit_code: None inside the block, then 0 if the call returned, any other code if it failed.
    """

    def __init__(self, call: Callable[[], object], cancelled: Callable[[], bool]) -> None:
        self.exit_code: int | None = None
        self._job = pickle.dumps(sys.path) + pickle.dumps(call)
        self._cancelled = cancelled

    def __enter__(self) -> ChildProcess:
        self._process = subprocess.Popen(  # noqa: S603 - runs this module
            [sys.executable, "-I", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C interrupts only the parent, which then kills the child
        )
        try:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.write(self._job)
                self._process.stdin.flush()  # stays open: its end tells the child that the parent is gone
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
    """Run the pickled call from stdin."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        call = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the parent process
        threading.Thread(target=_end_with_parent, daemon=True).start()
        call()
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(one_line(error))


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # unbuffered: a buffer's lock held at exit aborts
        pass
    os._exit(1)
