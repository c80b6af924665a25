"""Two machines on one: what crosses the cable between them, and what does not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from network import needs_two_machines

from trt_ssd_ros.bench.two_machines import run, two_machines

pytestmark = needs_two_machines
SERVE = """
import socket
with socket.create_server(("", 7000)) as server:
    print("up", flush=True)
    print(server.accept()[0].recv(100).decode(), flush=True)
"""
SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000), timeout=float(sys.argv[2])) as to:
    to.sendall(b"over the cable")
"""


@pytest.fixture
def machines():
    """Two machines."""
    with two_machines() as made:
        yield made


def send(sender, address: str, patience: float) -> int:
    """Send a text from a machine to an address, and return the exit code."""
    command = sender.command([sys.executable, "-c", SEND, address, str(patience)])
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def test_only_the_cable_connects_them(machines):
    one, two = machines
    serve = two.command([sys.executable, "-c", SERVE])
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "up\n"
        one.plug(False)
        assert send(one, two.address, 0.2) != 0
        one.plug(True)
        one.limit(1.0)
        before = one.sent_bytes
        assert send(one, two.address, 20) == 0
        assert server.stdout.readline() == "over the cable\n"
    assert one.sent_bytes > before


def test_they_end_with_the_block_and_leave_nothing():
    with two_machines() as (one, _):
        shown = run(one.command(["ls", "/dev/shm"]))  # noqa: S108
        assert shown == "", "a shared memory of its own"
    assert subprocess.run(one.command(["true"]), capture_output=True, check=False).returncode != 0
