"""Workers that fit on the nodes of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from trt_ssd_ros.tools.cluster.needs import Needs, needs_of


def node(cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": cpus, "GPU": gpus, "memory": 1e9}
    return {"Alive": alive, "Resources": {name: amount for name, amount in resources.items() if amount}}


@pytest.mark.parametrize(
    ("nodes", "backend", "threads", "needs", "workers"),
    [
        ([], "auto", 0, Needs(1), 0),
        ([node(0)], "auto", 0, Needs(1), 0),
        ([node(2)], "auto", 0, Needs(2), 1),
        ([node(4), node(6), node(0)], "onnxruntime", 0, Needs(4), 2),
        ([node(64), node(20)], "auto", 0, Needs(8), 10),
        ([node(16)], "auto", 3, Needs(3), 5),
        ([node(2), node(8, alive=False)], "auto", 0, Needs(2), 1),
        ([node(16, 2), node(16)], "auto", 0, Needs(gpus=1), 2),
        ([node(1, 4)], "tensorrt", 0, Needs(gpus=1), 1),
        ([node(16, 2)], "onnxruntime", 0, Needs(8), 2),
        ([node(16)], "tensorrt", 0, Needs(gpus=1), 0),
        ([node(16), node(4, 1, alive=False)], "auto", 0, Needs(8), 2),
    ],
)
def test_a_worker_takes_a_gpu_or_a_group_of_cores(nodes, backend, threads, needs, workers):
    assert needs_of(nodes, backend, threads) == needs
    assert needs.workers(nodes) == workers


def test_what_a_cluster_lacks_is_said():
    assert Needs(gpus=1).missing([node(4), node(2.5), node(9, 1, alive=False)]) == (
        "a worker needs 1 GPU of one node, the cluster has 2 nodes with 6 CPU cores and 0 GPUs"
    )
