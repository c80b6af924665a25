"""Work of a cluster that ends its worker, hangs, fails, or has settings of its own; and a process that runs it."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from threading import Event

from trt_ssd_ros.bench.cluster.processes import process_cluster
from trt_ssd_ros.tools.cluster import work_queue
from trt_ssd_ros.tools.cluster.connection import connected
from trt_ssd_ros.tools.cluster.needs import Needs
from trt_ssd_ros.tools.cluster.work_queue import WorkQueue

TIMEOUT = 4.0
"""Seconds without progress after which a worker is killed."""


class TroubledWork:
    done = 0

    def __init__(self, own_settings: bool = False) -> None:
        if own_settings:
            self.settings = f"process {os.getpid()}"
        else:
            self.settings = "common"

    def run(self, unit: str) -> str:
        if unit == "deadly":
            os._exit(1)
        if unit == "hanging":
            time.sleep(1e6)
        if unit == "slow":  # longer than TIMEOUT
            for self.done in range(25):
                time.sleep(TIMEOUT / 20)
        if unit == "damaged":
            raise ValueError("the file is damaged")
        return unit.upper()


def main() -> None:
    """Run units on two nodes, and print the error that ends each run, and what was finished before."""
    results = sys.stdout
    work_queue.MAX_LOSSES = 2  # each takes seconds
    with process_cluster(2) as cluster:
        for units, own_settings in (
            (["a", "b", "slow"], False),
            (["a", "deadly"], False),
            (["a", "hanging"], False),
            (["damaged"], False),
            ("abc", True),
        ):
            with (
                connected(cluster.address) as ray,
                WorkQueue[str, str](ray, partial(TroubledWork, own_settings), Needs(), Event(), TIMEOUT) as queue,
            ):
                found: list[tuple[str, str]] = []
                queue.add(units)
                try:
                    while queue.unfinished or (own_settings and queue.ready < 2):
                        if own_settings and not queue.unfinished:
                            queue.add(["more"] * 8)
                        found += queue.step()
                    print(sorted(found), file=results)
                except RuntimeError as error:
                    print(error, file=results)


if __name__ == "__main__":
    sys.exit(main())
