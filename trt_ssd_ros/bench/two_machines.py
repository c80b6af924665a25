"""Two machines on one: network namespaces with addresses and shared memory of their own, joined by a cable.

What runs on them reaches the other one through the kernel's network only, as on two computers. They share the
processor, the clock, the process ids and the file system. Needs Linux, root, util-linux and iproute2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from shutil import which
from typing import Any

CABLE = "cable"
"""Name of the network interface on both machines."""
BURST = 65536
"""Bytes that pass a limited cable at once."""
QUEUE_MS = 100
"""Longest wait of a packet before a limited cable, in ms; the packets behind it are lost."""
LINK_SECONDS = 10.0
_UNSHARE = ("unshare", "--net", "--mount", "--ipc")
_TRIAL = f"ip link add {CABLE} type veth && tc qdisc add dev {CABLE} root tbf rate 1mbit burst {BURST} latency 1ms"
_SETUP = "mount -t tmpfs none /dev/shm && ip link set lo up && echo ready && exec cat"
"""Commands that make a machine, which lasts until its standard input ends, also by the death of the writer."""


@cache
def missing() -> str:
    """Return what this computer lacks for two machines; empty: nothing."""
    absent = [name for name in ("unshare", "nsenter", "ip", "tc") if which(name) is None]
    if sys.platform != "linux" or absent:
        return f"needs Linux with {', '.join(absent) or 'namespaces'}"
    if os.geteuid() != 0:
        return "needs root"
    try:
        run([*_UNSHARE, "sh", "-c", _TRIAL])
    except RuntimeError as error:
        return f"needs namespaces, virtual cables and limits of their rate, as few containers have ({error})"
    return ""


@dataclass(frozen=True)
class Machine:
    """One of two machines.

    Attributes:
        address: IPv4 address on the cable.
        pid: Process that holds the namespaces.
    """

    address: str
    pid: int

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs a command on this machine, as the same process."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--ipc", "--wd", *command]

    def plug(self, plugged: bool) -> None:
        """Plug this machine's end of the cable in, or pull it out."""
        self._run("ip", "link", "set", CABLE, "up" if plugged else "down")

    def limit(self, mbit: float) -> None:
        """Limit what this machine sends to a rate in Mbit/s."""
        shape = ("rate", f"{mbit}mbit", "burst", str(BURST), "latency", f"{QUEUE_MS}ms")
        self._run("tc", "qdisc", "replace", "dev", CABLE, "root", "tbf", *shape)

    @property
    def sent_bytes(self) -> int:
        """Bytes that this machine has sent."""
        return int(self._cable()["stats64"]["tx"]["bytes"])

    def await_link(self) -> None:
        """Wait until both ends are plugged in: Fast DDS never uses an interface that was down when it started.

        Raises:
            RuntimeError: The other end is not plugged in within LINK_SECONDS.
        """
        end = time.monotonic() + LINK_SECONDS
        while self._cable()["operstate"] != "UP":
            if time.monotonic() > end:
                raise RuntimeError(f"the cable of {self.address} has no link within {LINK_SECONDS:g} s")
            time.sleep(0.01)

    def _cable(self) -> Any:
        [cable] = json.loads(self._run("ip", "-s", "-j", "link", "show", CABLE))
        return cable

    def _run(self, *command: str) -> str:
        return run(self.command(command))


def run(command: Sequence[str]) -> str:
    """Run a command, and return what it prints.

    Raises:
        RuntimeError: It fails.
    """
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {ended.stderr.strip()}")
    return ended.stdout


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make two machines and a cable between them.

    Raises:
        RuntimeError: This computer cannot; see `missing`.
    """
    lacks = missing()
    if lacks:
        raise RuntimeError(f"two machines: {lacks}")
    with ExitStack() as stack:
        one, two = (Machine(f"10.77.0.{number}", stack.enter_context(_namespaces()).pid) for number in (1, 2))
        ends = [CABLE, "netns", str(one.pid), "type", "veth", "peer", "name", CABLE, "netns", str(two.pid)]
        run(["ip", "link", "add", *ends])
        for machine in (one, two):
            run(machine.command(["ip", "address", "add", f"{machine.address}/24", "dev", CABLE]))
            machine.plug(True)
        for machine in (one, two):
            machine.await_link()
        yield one, two


@contextmanager
def _namespaces() -> Iterator[subprocess.Popen[str]]:
    command = [*_UNSHARE, "sh", "-c", _SETUP]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(command)} ended with {holder.wait()}: see above")
        yield holder
