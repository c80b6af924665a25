"""Processes of a test run end with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy", reason="the processes under test run in ROS domains")
SUPPORT = Path(__file__).parent / "support"
TEST_RUN = """
import sys
from pathlib import Path
from node_process import NodeProcess

command = ["sh", "-c", "sleep 600 & echo child $!; wait"]
first, second = (NodeProcess(command, 1, Path(sys.argv[1]) / name) for name in ("first", "second"))
for process in (first, second):
    process.wait_until_it_says("child ")
    print(process.pid, process.log.split()[1], flush=True)
sys.stdin.read()
"""
"""A test run with two processes, each with a child; it waits for its end."""


def start(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a test run; return it, and descriptors of its processes, which are readable at their end."""
    environment = {**os.environ, "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}"}
    run = subprocess.Popen(
        [sys.executable, "-c", TEST_RUN, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    lines = [run.stdout.readline().split() for _ in range(2)]
    return run, [os.pidfd_open(int(number)) for line in lines for number in line]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_processes_of_a_test_run_end_with_it_and_so_do_their_children(tmp_path, end):
    run, processes = start(tmp_path)
    assert len(processes) == 4
    assert select.select(processes, [], [], 0.0)[0] == []
    if end is None:
        run.stdin.close()
    else:
        run.send_signal(end)
    run.wait()
    for process in processes:
        ended, _, _ = select.select([process], [], [], 30.0)
        os.close(process)
        assert ended
