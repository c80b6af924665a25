"""OtherProcess: a call that runs in a process of its own while this one goes on."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from trt_ssd_ros.core.one_line import one_line

POLL_SECONDS = 0.1


class OtherProcess:
    """Starts when it is entered; leaving waits for it, unless by an error, which kills it.

    Args:
        call: Of a module, with arguments that can be pickled. A RuntimeError of it is one line on stderr.
        cancelled: Tells whether to stop waiting and kill it.

    Attributes:
        exit_code: 0 once the call has returned; None until this was left, and whatever else where it failed.
    """

    def __init__(self, call: Callable[[], object], cancelled: Callable[[], bool]) -> None:
        self.exit_code: int | None = None
        self._call = pickle.dumps(call)
        self._cancelled = cancelled

    def __enter__(self) -> OtherProcess:
        self._process = subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-m", __name__],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process, which may then kill that one
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(self._call)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            while kind is None and self._process.poll() is None and not self._cancelled():
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(POLL_SECONDS)
        finally:
            self._process.kill()
            self.exit_code = self._process.wait()


def main() -> None:
    """Make the call that is on stdin."""
    try:
        pickle.load(sys.stdin.buffer)()  # noqa: S301 - who started this process wrote it
    except RuntimeError as error:
        sys.exit(one_line(error))


if __name__ == "__main__":
    main()
