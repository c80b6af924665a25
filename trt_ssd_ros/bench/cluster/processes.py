"""ProcessCluster: a Ray cluster whose nodes are processes of this machine, which can be killed."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trt_ssd_ros.errors import load_library
from trt_ssd_ros.tools.cluster.connection import LOCAL_SETTINGS, STORE_BYTES
from trt_ssd_ros.tools.cluster.worker import Worker


class ProcessCluster:
    """Head without cores, and nodes with one core each.

    Args:
        cluster: `ray.cluster_utils.Cluster` with its head.

    Attributes:
        address: Host and port of the head.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._nodes: list[Any] = []
        self.address: str = cluster.address

    def add_node(self, cores: int = 1) -> None:
        """Start a node, and wait until the head knows it."""
        self._nodes.append(
            self._cluster.add_node(num_cpus=cores, num_gpus=0, object_store_memory=STORE_BYTES, wait=True)
        )

    def kill_node(self) -> None:
        """Kill all processes of the oldest node with SIGKILL."""
        self._cluster.remove_node(self._nodes.pop(0), allow_graceful=False)

    def kill_worker(self) -> bool:
        """Kill a worker with SIGKILL; return False if there is none."""
        return self._signal_worker(signal.SIGKILL)

    def stop_worker(self) -> bool:
        """Stop a worker with SIGSTOP, so that it hangs without dying; return False if there is none."""
        return self._signal_worker(signal.SIGSTOP)

    def _signal_worker(self, number: signal.Signals) -> bool:
        psutil = load_library("psutil", "psutil", "finding the processes of a cluster")
        for node in self._nodes:
            for raylet in node.all_processes["raylet"]:
                for process in psutil.Process(raylet.process.pid).children():
                    if process.name().startswith(f"ray::{Worker.__name__}"):
                        process.send_signal(number)
                        return True
        return False


@contextmanager
def process_cluster(nodes: int) -> Iterator[ProcessCluster]:
    """Start a cluster with a number of nodes, on the loopback interface and with a token of its own."""
    os.environ.update(LOCAL_SETTINGS, RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_TOKEN=secrets.token_hex(32))
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_TMPDIR"] = folder
        utils = load_library("ray.cluster_utils", "ray", "a cluster of processes")
        head = {
            "num_cpus": 0,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }
        cluster = utils.Cluster(initialize_head=True, head_node_args=head)
        try:
            found = ProcessCluster(cluster)
            for _ in range(nodes):
                found.add_node()
            yield found
        finally:
            cluster.shutdown()
