"""Several cameras: one detector node for all of them, against one node for each."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from statistics import median

import numpy as np

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.ros.camera_paths import CAMERA, SETTLING, DetectionListener
from trt_ssd_ros.bench.ros.image_stream import NAMESPACE, STARTUP_SECONDS
from trt_ssd_ros.bench.ros.node import DETECTOR, ROUNDS, node_process, spinning
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.process import RosProcess, ros_context

Processes = Sequence[subprocess.Popen[bytes]]


@dataclass(frozen=True)
class CamerasReport:
    """Results of one or more detector nodes with some cameras.

    Attributes:
        cameras: Number of cameras.
        nodes: Number of detector nodes.
        latency: Milliseconds from capture to received detections, of all cameras.
        answered: Share of images with detections.
        least_answered: The smallest share of any camera.
        cpu_ms: Processor time of the detector nodes in milliseconds per detected image, by round.
        memory_mib: Resident memory of the detector nodes in MiB.
        objects: Mean number of detections per image.
        gpu_mib: GPU memory in use by all processes in MiB; NaN without a GPU.
    """

    cameras: int
    nodes: int
    latency: Timing
    answered: float
    least_answered: float
    cpu_ms: Sequence[float]
    memory_mib: float
    objects: float
    gpu_mib: float


def measure_cameras(
    counts: Sequence[int], parameters: Mapping[str, str], rate: float, seconds: float
) -> list[CamerasReport]:
    """Measure one node with some cameras, and then one node for each of them.

    Every camera is a camera node in its own process that shows the demo, 1280x720.

    Args:
        counts: Numbers of cameras.
        parameters: Parameters of the detectors.
        rate: Images per second of each camera.
        seconds: Duration of each measurement in seconds.

    Raises:
        RuntimeError: A camera has no detections.
    """
    reports = []
    for count in counts:
        names = [f"camera{number}" for number in range(count)]
        alone = [[[name] for name in names]] if count > 1 else []
        for groups in ([names], *alone):
            reports.append(_measure_groups(groups, parameters, rate, seconds))
    return reports


def _measure_groups(
    groups: Sequence[Sequence[str]], parameters: Mapping[str, str], rate: float, seconds: float
) -> CamerasReport:
    """Measure one detector node for each group of cameras."""
    names = list(chain.from_iterable(groups))
    with ros_context([]) as ros, ExitStack() as stack:
        for name in names:
            stack.enter_context(_camera(name, rate))
        detectors = [stack.enter_context(_detector(group, parameters)) for group in groups]
        return _measure(ros, names, detectors, rate, seconds)
    raise RuntimeError("interrupted")


@contextmanager
def _camera(name: str, rate: float) -> Iterator[subprocess.Popen[bytes]]:
    rules = [f"__ns:={NAMESPACE}/{name}", "image_raw:=image"]
    with node_process(CAMERA, {"rate": str(float(rate))}, rules) as process:
        yield process


@contextmanager
def _detector(cameras: Sequence[str], parameters: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    values = {**parameters, "cameras": str(list(cameras))}
    rules = [f"__ns:={NAMESPACE}", f"__node:=detector_of_{cameras[0]}", f"label_info:={cameras[0]}/label_info"]
    with node_process(DETECTOR, values, rules) as process:
        yield process


def _measure(
    ros: RosProcess, names: Sequence[str], detectors: Processes, rate: float, seconds: float
) -> CamerasReport:
    listener = ros.add(DetectionListener(names))
    with spinning(ros.executor):
        _await_all(listener, detectors)
        time.sleep(SETTLING)
        listener.forget()
        began, rounds = time.perf_counter(), []
        for _ in range(ROUNDS):
            before, answered = _cpu_seconds(detectors), listener.count
            time.sleep(seconds / ROUNDS)
            images = max(listener.count - answered, 1)
            rounds.append((_cpu_seconds(detectors) - before) / images * 1e3)
        sent = rate * (time.perf_counter() - began)
        memory = sum(ProcessUsage.of(process.pid).memory_mib for process in detectors)
    shares = [len(listener.answers[name].latencies) / sent for name in names]
    times = [milliseconds for name in names for milliseconds in listener.answers[name].latencies]
    return CamerasReport(
        cameras=len(names),
        nodes=len(detectors),
        latency=Timing.of(times or [float("nan")]),
        answered=float(np.mean(shares)),
        least_answered=min(shares),
        cpu_ms=rounds,
        memory_mib=memory,
        objects=sum(answers.objects for answers in listener.answers.values()) / max(listener.count, 1),
        gpu_mib=listener.gpu_memory,
    )


def _cpu_seconds(processes: Processes) -> float:
    return sum(ProcessUsage.of(process.pid).cpu_seconds for process in processes)


def _await_all(listener: DetectionListener, detectors: Processes) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    waiting = dict(listener.answers)
    while waiting:
        waiting = {name: answers for name, answers in waiting.items() if not answers.first.wait(0.05)}
        for process in detectors:
            if process.poll() is not None:
                raise RuntimeError(f"a detector ended with exit code {process.returncode}: see its log above")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{', '.join(waiting)}: no detections within {STARTUP_SECONDS:g} s")


def cameras_report(reports: Sequence[CamerasReport], rate: float) -> str:
    """Return a table; ratios are against one camera."""
    one = reports[0]
    lines = [
        f"cameras of 1280x720 at {rate:g} Hz, {os.cpu_count()} CPU cores, {one.objects:.1f} detections an image"
    ]
    lines.append(
        f"{'cameras':>7}{'nodes':>7}{'answered':>10}{'least':>8}{'p50 ms':>9}{'p99 ms':>9}{'p50 / first':>13}"
        f"{'CPU ms an image':>17}{'/ first':>9}{'MiB':>7}{'GPU MiB':>9}"
    )
    for its in reports:
        lines.append(
            f"{its.cameras:7}{its.nodes:7}{its.answered:10.1%}{its.least_answered:8.1%}{its.latency.p50:9.2f}"
            f"{its.latency.p99:9.2f}{its.latency.p50 / one.latency.p50:13.2f}{median(its.cpu_ms):17.2f}"
            f"{median(its.cpu_ms) / median(one.cpu_ms):9.2f}{its.memory_mib:7.0f}{its.gpu_mib:9.0f}"
        )
    return "\n".join(lines)
