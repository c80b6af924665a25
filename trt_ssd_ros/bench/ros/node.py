"""Latency, throughput and processor time of nodes in their own processes, with images over real DDS."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from threading import Thread

import numpy as np
from numpy.typing import NDArray
from rclpy.executors import Executor

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.ros.image_stream import AGE_P50, ENGINE_P50, NAMESPACE, ImageStream
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.process import ros_context, until_shutdown
from trt_ssd_ros.ros.transport import keep_freed_blocks

ROUNDS = 5
"""Number of parts of a measurement, each with its own processor time, to show the spread."""
DETECTOR = ("trt_ssd_ros.node.detector_node",)


@dataclass(frozen=True)
class NodeReport:
    """Results of streaming images to a node.

    Attributes:
        latency: Time from publishing an image to receiving its detections.
        arrival: Median milliseconds from an image's stamp to the node's callback; NaN if unknown.
        engine: Median milliseconds from pixels to detections in the node's diagnostics; NaN without diagnostics.
        rate: Detection messages received per second.
        sent: Number of published images.
        received: Number of received detection messages.
        cpu_ms: Processor time of the node in milliseconds per answered image, median of the rounds.
        cpu_rounds: Processor time of the node in milliseconds per answered image, by round.
        memory_mib: Resident memory of the node at the end, in MiB.
    """

    latency: Timing
    arrival: float
    engine: float
    rate: float
    sent: int
    received: int
    cpu_ms: float
    cpu_rounds: Sequence[float]
    memory_mib: float


def measure_nodes(
    modules: Mapping[str, Sequence[str]],
    parameters: Mapping[str, str],
    image: NDArray[np.uint8],
    rate: float,
    seconds: float,
) -> dict[str, NodeReport]:
    """Run nodes in processes of their own and stream the same images to all of them at once.

    Args:
        modules: Module and arguments by node name, as after `python -m`.
        parameters: Parameters of the nodes.
        image: Image to publish, (H, W, 3) uint8, bgr.
        rate: Images per second.
        seconds: Duration of the stream in seconds.

    Raises:
        RuntimeError: A node sends no detections.
    """
    with ros_context([]) as ros, ExitStack() as stack:
        processes = {
            name: stack.enter_context(node_process(module, parameters, remappings(name)))
            for name, module in modules.items()
        }
        stream = ros.add(ImageStream(image, modules))
        keep_freed_blocks()
        with spinning(ros.executor):
            for name, process in processes.items():
                stream.await_first(name, process)
            time.sleep(1.0)
            stream.restart()
            rounds: dict[str, list[float]] = {name: [] for name in modules}
            for _ in range(ROUNDS):
                for name, milliseconds in measure_round(stream, processes, rate, seconds / ROUNDS).items():
                    rounds[name].append(milliseconds)
            return {
                name: report(stream, name, rounds[name], seconds, ProcessUsage.of(process.pid).memory_mib)
                for name, process in processes.items()
            }
    raise RuntimeError("interrupted")


def measure_round(
    stream: ImageStream, processes: Mapping[str, subprocess.Popen[bytes]], rate: float, seconds: float
) -> dict[str, float]:
    """Stream for some seconds and return each node's processor time in milliseconds per answered image.

    Raises:
        RuntimeError: A node answered no image.
    """

    def now() -> dict[str, tuple[float, int]]:
        return {
            name: (ProcessUsage.of(process.pid).cpu_seconds, len(stream.answers[name].latencies))
            for name, process in processes.items()
        }

    before = now()
    stream.stream(rate, seconds)
    used = {name: (cpu - before[name][0], count - before[name][1]) for name, (cpu, count) in now().items()}
    for name, (_, count) in used.items():
        if count == 0:
            raise RuntimeError(f"the {name} node answered none of {stream.sent} images")
    return {name: cpu / count * 1e3 for name, (cpu, count) in used.items()}


def report(stream: ImageStream, name: str, rounds: Sequence[float], seconds: float, memory: float) -> NodeReport:
    """Return the results of one node."""
    answers = stream.answers[name]
    age = answers.stages.get(AGE_P50, float("nan"))
    return NodeReport(
        latency=Timing.of(answers.latencies),
        arrival=float(np.median(answers.arrivals)) if answers.arrivals else age,
        engine=answers.stages.get(ENGINE_P50, float("nan")),
        rate=len(answers.latencies) / seconds,
        sent=stream.sent,
        received=len(answers.latencies),
        cpu_ms=float(np.median(rounds)),
        cpu_rounds=rounds,
        memory_mib=memory,
    )


@contextmanager
def node_process(
    module: Sequence[str],
    parameters: Mapping[str, str],
    remaps: Sequence[str],
    wrap: Callable[[list[str]], list[str]] = list,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the nodes of a module in a process.

    Args:
        module: Module and arguments, as after `python -m`.
        parameters: Parameters by name.
        remaps: Rules `FROM:=TO`.
        wrap: Returns the command that runs a command, as the same process.
    """
    rules = chain.from_iterable(("-r", rule) for rule in remaps)
    settings = chain.from_iterable(("-p", f"{name}:={value}") for name, value in parameters.items())
    command = [sys.executable, "-m", *module, "--ros-args", *rules, *settings, "--log-level", "warn"]
    process = subprocess.Popen(wrap(command))  # noqa: S603 - our own module
    try:
        yield process
    finally:
        end(process)


def remappings(name: str) -> list[str]:
    """Return the rules of a node that is subscribed to the benchmark's images, in the namespace NAMESPACE/name."""
    return [f"__ns:={NAMESPACE}/{name}", f"image:={NAMESPACE}/image"]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with SIGTERM, or with SIGKILL if it does not end within 10 s.

    Raises:
        RuntimeError: SIGKILL was necessary.
    """
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RuntimeError(f"{process.args!r} did not end within 10 s of SIGTERM") from None


@contextmanager
def spinning(executor: Executor) -> Iterator[None]:
    """Spin an executor in a background thread."""

    def spin() -> None:
        with until_shutdown(executor):
            executor.spin()

    thread = Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()
