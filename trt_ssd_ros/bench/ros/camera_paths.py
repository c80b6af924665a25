"""From our camera node to detections: in two processes, in one, and as in the tutorials of 2020."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from threading import Event

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.ros.image_stream import NAMESPACE, STARTUP_SECONDS
from trt_ssd_ros.bench.ros.node import DETECTOR, ROUNDS, node_process, spinning
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.process import RosProcess, ros_context

CAMERA = ("trt_ssd_ros.camera.camera_node",)
COMPOSED = ("trt_ssd_ros.camera.composed",)
REFERENCE = "trt_ssd_ros.bench.ros.reference_nodes"

Path = Sequence[Sequence[str]]
"""Modules of the processes from the camera to the detections, as after `python -m`."""

PATHS: Mapping[str, Path] = {
    "two processes": (CAMERA, DETECTOR),
    "composed": (COMPOSED,),
    "as in 2020": (CAMERA, (REFERENCE, "tutorial")),
}
BLANK_PATHS: Mapping[str, Path] = {
    "two processes": (CAMERA, (REFERENCE, "blank")),
    "composed": ((REFERENCE, "composed_blank"),),
}
"""Paths with an engine that finds nothing, in no time."""

CANDIDATES = (5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 700, 1000)
"""Rates in Hz among which the highest one is found."""
HIGHEST = "highest"
"""Rate to find."""
ANSWERED = 0.95
"""Smallest share of images with detections at the highest rate, as in ros2_benchmark of NVIDIA Isaac ROS."""
SETTLING = 1.0
"""Seconds from the first detections to the measurement."""
GPU_MEMORY = "GPU memory MiB"
"""Diagnostics key of the GPU memory in use by all processes."""
PUBLISHED = "latency p50 ms"
"""Diagnostics key of the time from an image's stamp to its published detections."""


@dataclass
class Answers:
    """Detections of one path.

    Attributes:
        first: Event that the first detections set.
        latencies: Milliseconds from the stamps of the images to the arrival of their detections.
        published: Milliseconds from the stamp to the published detections, median of the detector's diagnostics.
        objects: Number of detections in all images.
    """

    first: Event = field(default_factory=Event)
    latencies: list[float] = field(default_factory=list)
    published: float = float("nan")
    objects: int = 0


@dataclass(frozen=True)
class PathReport:
    """Results of one path at one rate.

    Attributes:
        rate: Images per second of the camera.
        latency: Milliseconds from capture to received detections.
        published: Milliseconds from capture to published detections, median; NaN if unknown.
        answered: Share of images with detections.
        cpu_ms: Processor time in milliseconds per detected image, camera and detector together, by round.
    """

    rate: float
    latency: Timing
    published: float
    answered: float
    cpu_ms: Sequence[float]


class DetectionListener(Node):
    """Node that records the arrival of detections, by name; it reads serialised messages, which costs less.

    Args:
        topics: Topics of the detections by name.

    Attributes:
        answers: Detections by name.
        gpu_memory: GPU memory in use by all processes in MiB; NaN if unknown.
    """

    def __init__(self, topics: Mapping[str, str]) -> None:
        super().__init__("benchmark")
        self.answers = {name: Answers() for name in topics}
        self.gpu_memory = float("nan")
        for name, answers in self.answers.items():
            receive = partial(self._receive, answers)
            self.create_subscription(Detection2DArray, topics[name], receive, 10, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self.note, 10)

    @property
    def count(self) -> int:
        """Number of images with detections, of all names."""
        return sum(len(answers.latencies) for answers in self.answers.values())

    def forget(self) -> None:
        """Discard all measurements."""
        for answers in self.answers.values():
            answers.latencies.clear()
            answers.objects = 0

    def note(self, message: DiagnosticArray) -> None:
        """Record the GPU memory in use."""
        for value in (value for status in message.status for value in status.values if value.key == GPU_MEMORY):
            self.gpu_memory = float(value.value)

    def _receive(self, answers: Answers, message: bytes) -> None:
        stamp, objects = stamp_and_count(message)
        answers.latencies.append((self.get_clock().now().nanoseconds - stamp) / 1e6)
        answers.objects += objects
        answers.first.set()


class PathListener(DetectionListener):
    """Listener that also records the latency that each path's detector publishes."""

    def __init__(self, paths: Iterable[str]) -> None:
        super().__init__({path: f"{_namespace(path)}/detections" for path in paths})

    def note(self, message: DiagnosticArray) -> None:
        """Record the GPU memory in use, and the latency of each path."""
        super().note(message)
        for name, answers in self.answers.items():
            for status in message.status:
                if status.name.startswith(f"{_namespace(name)}/"):
                    values = {value.key: value.value for value in status.values}
                    answers.published = float(values.get(PUBLISHED, answers.published))


def stamp_and_count(message: bytes) -> tuple[int, int]:
    """Return the stamp in nanoseconds and the number of detections of a serialised Detection2DArray."""
    seconds, nanoseconds, length = struct.unpack_from("<iII", message, 4)
    (count,) = struct.unpack_from("<I", message, 16 + length + -length % 4)
    return seconds * 10**9 + nanoseconds, count


def _namespace(path: str) -> str:
    return f"{NAMESPACE}/{path.replace(' ', '_')}"


def measure_paths(
    paths: Mapping[str, Path], parameters: Mapping[str, str], rate: float, seconds: float
) -> dict[str, PathReport]:
    """Run paths at the same time, each with its own camera, which shows the demo.

    Args:
        paths: Paths by name.
        parameters: Parameters of the detectors.
        rate: Images per second of every camera.
        seconds: Duration of the measurement in seconds.

    Raises:
        RuntimeError: A path has no detections.
    """
    values = {f"detector:{name}": value for name, value in parameters.items()}
    values |= {"camera:rate": str(float(rate))}
    with ros_context([]) as ros, ExitStack() as stack:
        processes = {name: stack.enter_context(_processes(name, path, values)) for name, path in paths.items()}
        return _measure(ros, processes, rate, seconds)
    raise RuntimeError("interrupted")


@contextmanager
def _processes(name: str, path: Path, values: Mapping[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    remaps = [f"__ns:={_namespace(name)}", "image:=image_raw"]
    with ExitStack() as stack:
        yield [stack.enter_context(node_process(module, values, remaps)) for module in path]


def _measure(
    ros: RosProcess, processes: Mapping[str, Sequence[subprocess.Popen[bytes]]], rate: float, seconds: float
) -> dict[str, PathReport]:
    listener = ros.add(PathListener(list(processes)))
    with spinning(ros.executor):
        for name, answers in listener.answers.items():
            _await_first(name, answers, processes[name])
        time.sleep(SETTLING)
        listener.forget()
        began = time.perf_counter()
        rounds: dict[str, list[float]] = {name: [] for name in processes}
        for _ in range(ROUNDS):
            before = _used(listener, processes)
            time.sleep(seconds / ROUNDS)
            for name, (cpu, count) in _used(listener, processes).items():
                answered = max(count - before[name][1], 1)
                rounds[name].append((cpu - before[name][0]) / answered * 1e3)
        seconds = time.perf_counter() - began
    return {
        name: PathReport(
            rate=rate,
            latency=Timing.of(answers.latencies or [float("nan")]),
            published=answers.published,
            answered=len(answers.latencies) / (rate * seconds),
            cpu_ms=rounds[name],
        )
        for name, answers in listener.answers.items()
    }


def _used(
    listener: PathListener, processes: Mapping[str, Sequence[subprocess.Popen[bytes]]]
) -> dict[str, tuple[float, int]]:
    """Return processor seconds and number of detections so far, by path."""
    return {
        name: (
            sum(ProcessUsage.of(process.pid).cpu_seconds for process in its),
            len(listener.answers[name].latencies),
        )
        for name, its in processes.items()
    }


def _await_first(name: str, answers: Answers, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while not answers.first.wait(0.1):
        for process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{name}: a node ended with exit code {process.returncode}: see its log above")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name}: no detections within {STARTUP_SECONDS:g} s")


def find_highest_rate(measure: Callable[[float], PathReport]) -> PathReport:
    """Return the report of the highest of CANDIDATES at which at least ANSWERED of the images have detections.

    Args:
        measure: Function that measures a path at a rate.
    """
    low, high, best = 0, len(CANDIDATES) - 1, measure(CANDIDATES[0])
    while low < high:
        middle = (low + high + 1) // 2
        report = measure(CANDIDATES[middle])
        if report.answered >= ANSWERED:
            low, best = middle, report
        else:
            high = middle - 1
    return best


def measure_camera(
    parameters: Mapping[str, str], rates: Sequence[float | str], seconds: float
) -> dict[str, dict[str, PathReport]]:
    """Measure every path alone at each of some rates.

    Args:
        parameters: Parameters of the detectors.
        rates: Images per second, or HIGHEST.
        seconds: Duration of each measurement in seconds.

    Raises:
        RuntimeError: A path has no detections.
    """

    def alone(name: str, path: Path, rate: float) -> PathReport:
        return measure_paths({name: path}, parameters, rate, seconds)[name]

    results: dict[str, dict[str, PathReport]] = {}
    for name, path in PATHS.items():
        at = partial(alone, name, path)
        results[name] = {str(rate): find_highest_rate(at) if isinstance(rate, str) else at(rate) for rate in rates}
    return results


def blank_report(blank: Mapping[str, PathReport]) -> str:
    """Return a table of the paths without inference; the first one is the reference of the ratios."""
    rate = next(iter(blank.values())).rate
    lines = [
        f"{f'camera to detections at {rate:g} Hz, no inference':<46}{'published p50':>14}{'CPU an image':>14}"
    ]
    for name, path in blank.items():
        lines.append(f"{name:<46}{path.published:11.2f} ms{median(path.cpu_ms):11.2f} ms")
    first, last = blank.values()
    ratios = sorted(mine / its for mine, its in zip(last.cpu_ms, first.cpu_ms, strict=True))
    lines.append(
        f"{'composed / two processes':<46}{last.published / first.published:14.2f}{median(ratios):14.2f}"
        f" ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    return "\n".join(lines)


def camera_report(results: Mapping[str, Mapping[str, PathReport]]) -> str:
    """Return a table of the paths with inference."""
    lines = [f"camera to detections, {os.cpu_count()} CPU cores"]
    lines.append(f"{'':<16}{'':>10}{'rate':>10}{'answered':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms an image':>17}")
    for name, reports in results.items():
        for label, path in reports.items():
            shown = label if label == HIGHEST else ""
            lines.append(
                f"{name:<16}{shown:>10}{path.rate:10g}{path.answered:10.1%}{path.latency.p50:9.2f}"
                f"{path.latency.p99:9.2f}{median(path.cpu_ms):17.2f}"
            )
    return "\n".join(lines)
