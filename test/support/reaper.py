"""Reaper: a process that ends the processes of a test run once the run has ended, even if it was killed.

Orphaned nodes would answer in the domains of later tests. The reaper waits for the end of its standard input,
which the kernel closes with the test run. PR_SET_PDEATHSIG would not reach the nodes of a launch, and needs a
function between fork and exec, which is unsafe with threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache


class Reaper:
    """Process that kills process groups at the end of this process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def watch(self, group: int) -> None:
        """Kill this process group at the end of this process, unless it is forgotten."""
        self._say(f"+{group}")

    def forget(self, group: int) -> None:
        """Leave this process group alone, whose number may be used again."""
        self._say(f"-{group}")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)


@cache
def reaper() -> Reaper:
    """Return the reaper of this process."""
    return Reaper()


def main() -> None:
    """Read process groups from standard input; at its end, kill those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = set[int]()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
