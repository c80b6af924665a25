"""Needs: the part of a node that one worker takes, and the number of workers that a cluster has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trt_ssd_ros.engines.backend import MAX_CPU_DETECTORS
from trt_ssd_ros.errors import counted

Nodes = Sequence[Mapping[str, Any]]
"""Nodes of a cluster as `ray.nodes()` lists them."""


@dataclass(frozen=True)
class Needs:
    """Part of a node that a worker takes: one GPU, or a group of cores.

    Attributes:
        cores: Number of CPU cores.
        gpus: Number of GPUs.
    """

    cores: int = 1
    gpus: int = 0

    def __str__(self) -> str:
        """Return the need as text."""
        return counted(self.gpus, "GPU") if self.gpus else counted(self.cores, "CPU core")

    def workers(self, nodes: Nodes) -> int:
        """Return the number of workers that the living nodes have room for."""
        found = 0
        for node in _living(nodes):
            room = _amount(node, "CPU") // self.cores
            found += min(room, _amount(node, "GPU") // self.gpus) if self.gpus else room
        return found

    def missing(self, nodes: Nodes) -> str:
        """Return a description of the living nodes beside this need."""
        living = _living(nodes)
        cores, gpus = (sum(_amount(node, name) for node in living) for name in ("CPU", "GPU"))
        found = f"{counted(len(living), 'node')} with {counted(cores, 'CPU core')} and {counted(gpus, 'GPU')}"
        return f"a worker needs {self} of one node, the cluster has {found}"


def needs_of(nodes: Nodes, backend: str, cpu_threads: int) -> Needs:
    """Return the part of a node for one engine.

    Args:
        nodes: Nodes of the cluster.
        backend: Backend as in `EngineChoice`; `auto` takes the GPUs if the cluster has one.
        cpu_threads: Cores of a worker without GPU; 0: all cores of the smallest node, at most MAX_CPU_DETECTORS.
    """
    if backend == "tensorrt" or (backend == "auto" and any(_amount(node, "GPU") for node in _living(nodes))):
        return Needs(gpus=1)
    smallest = min((_amount(node, "CPU") for node in _living(nodes) if _amount(node, "CPU")), default=1)
    return Needs(cores=cpu_threads or min(MAX_CPU_DETECTORS, smallest))


def _living(nodes: Nodes) -> list[Mapping[str, Any]]:
    return [node for node in nodes if node["Alive"]]


def _amount(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
