"""Processor time, memory, threads and open files of a process."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path

from trt_ssd_ros.errors import load_library


@dataclass(frozen=True)
class ProcessUsage:
    """Resources of a process at one moment.

    Attributes:
        cpu_seconds: Processor time since the start of the process, in seconds.
        memory_mib: Resident memory in MiB.
        private_mib: Anonymous resident memory in MiB, without a middleware's slowly filling shared memory.
        threads: Number of threads.
        descriptors: Number of open files and sockets.
    """

    cpu_seconds: float
    memory_mib: float
    private_mib: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> ProcessUsage:
        """Return the resources of a running process, given its process id.

        Raises:
            OSError: There is no such process, or it belongs to another user.
            RuntimeError: psutil is not installed.
        """
        psutil = load_library("psutil", "psutil", "benchmark")
        try:
            process = psutil.Process(pid)
            memory = process.memory_info()
            return cls(
                cpu_seconds=_cpu_seconds(pid),
                memory_mib=memory.rss / 2**20,
                private_mib=(memory.rss - memory.shared) / 2**20,  # `shared` is RssFile + RssShmem of proc(5)
                threads=process.num_threads(),
                descriptors=process.num_fds(),
            )
        except psutil.Error as error:
            raise OSError(str(error)) from error


def thread_seconds(pid: int) -> dict[int, tuple[str, float]]:
    """Return name and processor time in seconds, in steps of 10 ms, of a process's threads, by id.

    Raises:
        OSError: There is no such process, or it belongs to another user.
        RuntimeError: psutil is not installed.
    """
    psutil = load_library("psutil", "psutil", "benchmark")
    try:
        times = {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}
    except psutil.Error as error:
        raise OSError(str(error)) from error
    return {thread: (_thread_name(pid, thread), seconds) for thread, seconds in times.items()}


def _thread_name(pid: int, thread: int) -> str:
    """Return the name of a thread; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
    except OSError:
        return ""


def _cpu_seconds(pid: int) -> float:
    """Return a process's processor time, in steps of a nanosecond; see clock_getcpuclockid(3)."""
    # psutil reads /proc/PID/stat, which counts in steps of 10 ms (proc(5), sysconf(3)); an image may take less.
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)
