"""ProcessUsage: what a process takes of the machine, as its clock and /proc have it (proc(5))."""

from __future__ import annotations

import ctypes
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessUsage:
    """What a process takes of the machine at one moment.

    Attributes:
        cpu_seconds: Processor time since its start.
        memory_mib: Resident memory.
        private_mib: Of it what is its own; the shared memory of a middleware, which fills bit by bit, is not.
        threads: Its threads.
        descriptors: Its open files and sockets.
    """

    cpu_seconds: float
    memory_mib: float
    private_mib: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> ProcessUsage:
        """Return what a running process takes.

        Raises:
            OSError: There is no such process, or it is somebody else's.
        """
        folder = Path(f"/proc/{pid}")
        status = dict(re.findall(r"^(\w+):\s+(\d+)", (folder / "status").read_text(), re.MULTILINE))
        return cls(
            cpu_seconds=_cpu_seconds(pid),
            memory_mib=int(status["VmRSS"]) / 1024,
            private_mib=int(status["RssAnon"]) / 1024,
            threads=int(status["Threads"]),
            descriptors=len(list((folder / "fd").iterdir())),
        )


def _cpu_seconds(pid: int) -> float:
    """Return a process's processor time, which /proc only has in steps of 10 ms; see clock_getcpuclockid(3)."""
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)
