"""Speed of the queue: two nodes against one, with units that sleep and real ones; overhead of short units."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, TypeVar

from trt_ssd_ros.bench.cluster.processes import process_cluster
from trt_ssd_ros.tools.cluster.connection import connected
from trt_ssd_ros.tools.cluster.needs import Needs
from trt_ssd_ros.tools.cluster.work_queue import WorkQueue
from trt_ssd_ros.tools.cluster.worker import Work
from trt_ssd_ros.tools.detect.__main__ import new_parser
from trt_ssd_ros.tools.detect.on_cluster import DetectWork, Order, Source
from trt_ssd_ros.tools.detect.units import Unit as DetectUnit

Unit = TypeVar("Unit")


@dataclass(frozen=True)
class Nap:
    """Unit that sleeps.

    Attributes:
        number: Number of the unit.
        seconds: Time of a sleep.
        times: Number of sleeps.
    """

    number: int
    seconds: float
    times: int = 1


class SleepingWork:
    """Work without an engine."""

    settings = "none"
    done = 0

    def run(self, unit: Nap) -> int:
        """Sleep, and return the number of the unit."""
        for _ in range(unit.times):
            time.sleep(unit.seconds)
            self.done += 1
        return unit.number


def seconds_for(
    address: str, workers: int, units: Sequence[Unit], warm: Unit, open_work: Callable[[], Work]
) -> float:
    """Return the seconds from the first unit to the last result, with all workers ready before.

    Args:
        address: Host and port of a cluster.
        workers: Number of workers to wait for, with one core each.
        units: Units to measure.
        warm: Unit that calls for the workers before.
        open_work: Function that opens the work of a worker.

    Raises:
        AssertionError: A unit is lost, or returned twice.
    """
    with connected(address) as ray, WorkQueue[Unit, Any](ray, open_work, Needs(), Event()) as queue:
        queue.await_settings()
        while queue.ready < workers:
            queue.add([warm] * (4 * workers - queue.unfinished))
            queue.step()
        _finished(queue)
        begin = time.perf_counter()
        queue.add(units)
        found = _finished(queue)
        seconds = time.perf_counter() - begin
    assert Counter(found) == Counter(units), "a unit is lost, or was returned twice"
    return seconds


def _finished(queue: WorkQueue[Unit, Any]) -> list[Unit]:
    found: list[Unit] = []
    while queue.unfinished:
        found += [unit for unit, _ in queue.step()]
    return found


def _detection() -> Callable[[], Work]:
    """Return the function that opens a detector on one core for the images of the demo."""
    arguments = ["demo", "--backend", "onnxruntime", "--no-draw", "--cpu-threads", "1"]
    options = new_parser().parse_args(arguments)
    return partial(DetectWork, Order(options, (Source("", ("demo",), (), None),), (), is_video=True))


def measure() -> Iterator[str]:
    """Yield the figures, line by line."""
    long, short = [Nap(number, 0.25) for number in range(48)], [Nap(number, 0.05) for number in range(500)]
    bare = [Nap(number, 0.05, len(short) // 2) for number in range(2)]  # as many sleeps, without the queue
    real = [DetectUnit(begin, 0, begin + 12) for begin in range(0, 240, 12)]
    naps, detection = (Nap(-1, 0.0), SleepingWork), (DetectUnit(0, 0, 1), _detection())
    with process_cluster(1) as cluster:
        one = seconds_for(cluster.address, 1, long, *naps)
        one_real = seconds_for(cluster.address, 1, real, *detection)
        cluster.add_node()
        two, least, many = (seconds_for(cluster.address, 2, units, *naps) for units in (long, bare, short))
        two_real = seconds_for(cluster.address, 2, real, *detection)
    yield f"48 units of 0.25 s: one node {one:.2f} s, two nodes {two:.2f} s, {one / two:.2f} x"
    yield f"240 images: one node {one_real:.2f} s, two nodes {two_real:.2f} s, {one_real / two_real:.2f} x"
    yield (
        f"500 units of 0.05 s on two nodes: {many:.2f} s, without a queue {least:.2f} s, "
        f"{many / least - 1:.1%} overhead"
    )
