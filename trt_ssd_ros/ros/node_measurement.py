"""Measure a node in a process of its own: stream images to it over real DDS and note when its answers come."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from threading import Event, Thread

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.core.timing import Timing
from trt_ssd_ros.ros.allocator import keep_freed_blocks
from trt_ssd_ros.ros.messages import image_to_msg, nanoseconds
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.tools.process_usage import ProcessUsage

STARTUP_SECONDS = 120.0
DETECTOR = ("trt_ssd_ros.ros.detector_node",)
ENGINE_P50 = "engine p50 ms"
"""What the node's diagnostics call the time from pixels to detections."""
AGE_P50 = "age p50 ms"
"""What they call the time from an image's stamp to its arrival."""


@dataclass(frozen=True)
class NodeReport:
    """What a node did with a stream of images.

    Attributes:
        latency: From publishing an image to receiving its detections.
        arrival: Of it until the node's callback has the image, p50 in milliseconds.
        engine: Of it from pixels to detections, p50 in milliseconds, as the node's diagnostics tell.
        rate: Detections received a second.
        sent: Images published.
        received: Detections received.
        cpu_ms: Processor time of the node for each image it detected in.
        memory_mib: Resident memory of the node at the end.
    """

    latency: Timing
    arrival: float
    engine: float
    rate: float
    sent: int
    received: int
    cpu_ms: float
    memory_mib: float


class ImageStream(Node):
    """Publishes one image at a fixed rate and notes when its detections come back."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        super().__init__("benchmark")
        self.latencies: list[float] = []
        self.arrivals: list[float] = []
        self.sent = 0
        self.stages: dict[str, float] = {}
        self.first_answer = Event()
        self._message = image_to_msg(image, "bgr", Header())
        self._publisher = self.create_publisher(Image, "benchmark/image", 1)
        self.create_subscription(Detection2DArray, "benchmark/detections", self._receive, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._note_stages, 10)

    @property
    def arrival(self) -> float:
        """Milliseconds from publishing an image to its callback, p50: as an echo or the diagnostics tell."""
        return float(np.median(self.arrivals)) if self.arrivals else self.stages.get(AGE_P50, float("nan"))

    def send(self) -> None:
        """Publish the image with the present time as its stamp."""
        self._message.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(self._message)
        self.sent += 1

    def restart(self) -> None:
        """Forget what was measured."""
        self.latencies.clear()
        self.arrivals.clear()
        self.sent = 0

    def _receive(self, message: Detection2DArray) -> None:
        taken = nanoseconds(message.header.stamp)
        self.latencies.append((self.get_clock().now().nanoseconds - taken) / 1e6)
        if message.detections and not message.detections[0].results:  # of an echo
            self.arrivals.append((nanoseconds(message.detections[0].header.stamp) - taken) / 1e6)
        self.first_answer.set()

    def _note_stages(self, message: DiagnosticArray) -> None:
        values = chain.from_iterable(status.values for status in message.status)
        self.stages.update((v.key, float(v.value)) for v in values if v.key in (ENGINE_P50, AGE_P50))


def measure_node(
    module: Sequence[str], parameters: Mapping[str, str], image: NDArray[np.uint8], rate: float, seconds: float
) -> NodeReport:
    """Run a node in a process of its own and stream images to it.

    Args:
        module: What to run, as after `python -m`.
        parameters: Of the node.
        image: (H, W, 3) uint8, bgr.
        rate: Images a second.
        seconds: How long.

    Raises:
        RuntimeError: The node does not answer.
    """
    with ros_context([]) as executor, node_process(module, parameters) as process:
        stream = ImageStream(image)
        keep_freed_blocks()
        executor.add_node(stream)
        with spinning(executor):
            await_first_answer(stream, process)
            time.sleep(1.0)
            stream.restart()
            before, start = ProcessUsage.of(process.pid), time.perf_counter()
            for tick in range(round(rate * seconds)):
                time.sleep(max(0.0, start + tick / rate - time.perf_counter()))
                stream.send()
            time.sleep(1.0)
            received, after = len(stream.latencies), ProcessUsage.of(process.pid)
            if received == 0:
                raise RuntimeError(f"none of {stream.sent} images was answered")
            return NodeReport(
                latency=Timing.of(stream.latencies),
                arrival=stream.arrival,
                engine=stream.stages.get(ENGINE_P50, float("nan")),
                rate=received / seconds,
                sent=stream.sent,
                received=received,
                cpu_ms=(after.cpu_seconds - before.cpu_seconds) / received * 1e3,
                memory_mib=after.memory_mib,
            )
    raise RuntimeError("interrupted")


@contextmanager
def node_process(module: Sequence[str], parameters: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node on the benchmark's topics."""
    remaps = ["-r", "image:=benchmark/image", "-r", "detections:=benchmark/detections"]
    settings = chain.from_iterable(("-p", f"{name}:={value}") for name, value in parameters.items())
    command = [sys.executable, "-m", *module, "--ros-args", *remaps, *settings, "--log-level", "warn"]
    process = subprocess.Popen(command)  # noqa: S603 - our own module
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, if need be by force.

    Raises:
        RuntimeError: It had to be by force.
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
    """Spin an executor in a thread of its own."""

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()


def await_first_answer(stream: ImageStream, process: subprocess.Popen[bytes]) -> None:
    """Send images until detections come back."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while not stream.first_answer.wait(0.1):
        if process.poll() is not None:
            raise RuntimeError(f"the measured node ended with exit code {process.returncode}, see above")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the measured node did not answer within {STARTUP_SECONDS:g} s")
        stream.send()
