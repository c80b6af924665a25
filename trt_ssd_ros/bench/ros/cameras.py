"""Several cameras: one detector node for all of them, against one node for each."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

import numpy as np

from trt_ssd_ros.bench.process_usage import ProcessUsage, thread_seconds
from trt_ssd_ros.bench.ros.camera_paths import SETTLING, DetectionListener
from trt_ssd_ros.bench.ros.image_stream import NAMESPACE, STARTUP_SECONDS
from trt_ssd_ros.bench.ros.node import DETECTOR, ROUNDS, node_process, spinning
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.process import RosProcess, ros_context

Processes = Sequence[subprocess.Popen[bytes]]
CAMERA = ("trt_ssd_ros.bench.ros.stand_in_camera",)


@dataclass(frozen=True)
class CameraStreams:
    """Images that each camera publishes.

    Attributes:
        rate: Images per second.
        seconds: Duration of each measurement in seconds.
        size: Width and height in pixels.
        compressed: Whether the images are JPEG.
    """

    rate: float
    seconds: float
    size: tuple[int, int] = (1280, 720)
    compressed: bool = False

    def __str__(self) -> str:
        """Return the streams as text for a title."""
        kind = "JPEG" if self.compressed else "raw"
        return f"{self.size[0]}x{self.size[1]}, {kind}, at {self.rate:g} Hz for {self.seconds:g} s"


@dataclass(frozen=True)
class CamerasReport:
    """Results of one or more detector nodes with some cameras.

    Attributes:
        cameras: Number of cameras.
        nodes: Number of detector nodes.
        latency: Milliseconds from published image to received detections, of all cameras.
        answered: Share of images with detections.
        least_answered: The smallest share of any camera.
        rates: Detection messages per second of each camera.
        cpu_ms: Processor time of the detector nodes in milliseconds per detected image, by round.
        memory_mib: Resident memory of the detector nodes in MiB.
        objects: Mean number of detections per image.
        gpu_mib: GPU memory in use by all processes in MiB; NaN without a GPU.
        threads: Use of a core by the threads of the detector nodes, by kind; see `thread_shares`.
    """

    cameras: int
    nodes: int
    latency: Timing
    answered: float
    least_answered: float
    rates: Sequence[float]
    cpu_ms: Sequence[float]
    memory_mib: float
    objects: float
    gpu_mib: float
    threads: Mapping[str, float]


def measure_cameras(
    counts: Sequence[int], parameters: Mapping[str, str], streams: CameraStreams, separate: bool = True
) -> Iterator[CamerasReport]:
    """Measure one node with some cameras, and then one node for each of them.

    Every camera is a process of its own that shows the demo.

    Args:
        counts: Numbers of cameras.
        parameters: Parameters of the detectors.
        streams: Images of the cameras.
        separate: Whether to measure one node for each camera, too.

    Raises:
        RuntimeError: A camera has no detections.
    """
    if streams.compressed:
        parameters = {**parameters, "image_transport": "compressed"}
    for count in counts:
        names = [f"camera{number}" for number in range(count)]
        alone = [[[name] for name in names]] if separate and count > 1 else []
        for groups in ([names], *alone):
            yield _measure_groups(groups, parameters, streams)


def _measure_groups(
    groups: Sequence[Sequence[str]], parameters: Mapping[str, str], streams: CameraStreams
) -> CamerasReport:
    """Measure one detector node for each group of cameras."""
    names = list(chain.from_iterable(groups))
    with ros_context([]) as ros, ExitStack() as stack:
        for name in names:
            stack.enter_context(camera_process(name, streams))
        detectors = [stack.enter_context(detector_process(group, parameters)) for group in groups]
        return _measure(ros, names, detectors, streams)
    raise RuntimeError("interrupted")


@contextmanager
def camera_process(
    name: str, streams: CameraStreams, changes: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a stand-in camera; `changes` are parameters beside those of its stream."""
    width, height = streams.size
    values = {"rate": float(streams.rate), "width": width, "height": height, "compressed": streams.compressed}
    texts = {key: str(value).lower() for key, value in values.items()} | dict(changes)
    with node_process(CAMERA, texts, [f"__ns:={NAMESPACE}/{name}"]) as process:
        yield process


@contextmanager
def detector_process(cameras: Sequence[str], parameters: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a detector node of some cameras."""
    values = {**parameters, "cameras": str(list(cameras))}
    rules = [f"__ns:={NAMESPACE}", f"__node:=detector_of_{cameras[0]}", f"label_info:={cameras[0]}/label_info"]
    with node_process(DETECTOR, values, rules) as process:
        yield process


def rig_listener(names: Iterable[str]) -> DetectionListener:
    """Return a listener for cameras."""
    return DetectionListener({name: f"{NAMESPACE}/{name}/detections" for name in names})


def _measure(ros: RosProcess, names: Sequence[str], detectors: Processes, streams: CameraStreams) -> CamerasReport:
    listener = ros.add(rig_listener(names))
    with spinning(ros.executor):
        await_all(listener, detectors)
        time.sleep(SETTLING)
        listener.forget()
        began, threads, rounds = time.perf_counter(), _threads(detectors), []
        for _ in range(ROUNDS):
            before, answered = _cpu_seconds(detectors), listener.count
            time.sleep(streams.seconds / ROUNDS)
            images = max(listener.count - answered, 1)
            rounds.append((_cpu_seconds(detectors) - before) / images * 1e3)
        seconds, counts = time.perf_counter() - began, [len(its.latencies) for its in listener.answers.values()]
        shares = thread_shares(threads, _threads(detectors), seconds)
        memory = sum(ProcessUsage.of(process.pid).memory_mib for process in detectors)
    times = list(chain.from_iterable(answers.latencies for answers in listener.answers.values()))
    return CamerasReport(
        cameras=len(names),
        nodes=len(detectors),
        latency=Timing.of(times or [float("nan")]),
        answered=float(np.mean(counts)) / (streams.rate * seconds),
        least_answered=min(counts) / (streams.rate * seconds),
        rates=[count / seconds for count in counts],
        cpu_ms=rounds,
        memory_mib=memory,
        objects=sum(answers.objects for answers in listener.answers.values()) / max(listener.count, 1),
        gpu_mib=listener.gpu_memory,
        threads=shares,
    )


def _cpu_seconds(processes: Processes) -> float:
    return sum(ProcessUsage.of(process.pid).cpu_seconds for process in processes)


Threads = Mapping[tuple[int, int], tuple[str, float]]
"""Name and processor seconds of threads, by ids of process and thread."""


def _threads(processes: Processes) -> Threads:
    return {
        (process.pid, thread): its for process in processes for thread, its in thread_seconds(process.pid).items()
    }


def thread_shares(before: Threads, now: Threads, seconds: float) -> dict[str, float]:
    """Return the use of a core by kind of thread: 1.0 is a full core.

    `main` serves parameters and diagnostics. `inference` is the busiest other thread with Python's name: it takes
    images, runs the engine and publishes. Threads of the middleware and of CUDA have names of their own; those of
    ONNX Runtime, OpenCV and the decoders are `python`.
    """
    used = {key: spent - before.get(key, ("", 0.0))[1] for key, (_, spent) in now.items()}
    shares: dict[str, float] = {}
    for process in {process for process, _ in now}:
        own = {thread: its for (owner, thread), its in used.items() if owner == process}
        python = now[process, process][0]
        workers = [thread for thread in own if thread != process and now[process, thread][0] == python]
        busiest = max(workers, key=own.__getitem__, default=None)
        for thread, spent in own.items():
            name = now[process, thread][0].rstrip("0123456789.")
            kind = "main" if thread == process else "inference" if thread == busiest else name
            shares[kind] = shares.get(kind, 0.0) + spent / seconds
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def await_all(listener: DetectionListener, detectors: Processes) -> None:
    """Wait for detections of each camera.

    Raises:
        RuntimeError: A detector ends, or a camera has none within STARTUP_SECONDS.
    """
    deadline = time.monotonic() + STARTUP_SECONDS
    waiting = dict(listener.answers)
    while waiting:
        waiting = {name: answers for name, answers in waiting.items() if not answers.first.wait(0.05)}
        for process in detectors:
            if process.poll() is not None:
                raise RuntimeError(f"a detector ended with exit code {process.returncode}: see its log above")
        if waiting and time.monotonic() > deadline:
            raise RuntimeError(f"{', '.join(waiting)}: no detections within {STARTUP_SECONDS:g} s")
