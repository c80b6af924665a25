"""Ray in processes of its own: the tests themselves must not find it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reaper import reaper

FLEET_PATH = "TRT_SSD_FLEET_PATH"

# Run by a process of its own: a cluster, and orders for it on standard input.
NODES = """
import json, os, sys
from trt_ssd_ros.bench.cluster.processes import process_cluster
with process_cluster(int(sys.argv[1])) as cluster:
    names = [name for name in os.environ if name.startswith("RAY_")]
    print(json.dumps([cluster.address, {name: os.environ[name] for name in names}]), flush=True)
    for line in sys.stdin:
        getattr(cluster, line.strip())()
        print("done", flush=True)
"""


def fleet_environment() -> dict[str, str]:
    """Return the environment of processes that find Ray; skip the test without Ray."""
    if FLEET_PATH not in os.environ:
        pytest.skip(f"needs Ray: scripts/bootstrap --test --fleet, then {FLEET_PATH}=.ros/fleet")
    paths = (os.environ[FLEET_PATH], str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Fleet:
    """A cluster of processes.

    Args:
        process: Process that runs NODES.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address, ray = json.loads(self._answer())
        self.environment = {**fleet_environment(), **ray}

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def order(self, name: str) -> None:
        """Call a method of `ProcessCluster`, and wait for its end."""
        assert self._process.stdin is not None
        print(name, file=self._process.stdin, flush=True)
        assert self._answer() == "done\n"


@contextmanager
def fleet(nodes: int) -> Iterator[Fleet]:
    """Start a cluster with a number of nodes of one core."""
    with subprocess.Popen(
        [sys.executable, "-c", NODES, str(nodes)],
        env=fleet_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        reaper().watch(process.pid)
        yield Fleet(process)
        process.stdin.close()
        assert process.wait(60) == 0
        reaper().forget(process.pid)
