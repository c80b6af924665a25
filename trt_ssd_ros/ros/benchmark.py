"""Measure in one run what each layer costs: the bare session, the detector, and the node over real DDS."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.core.image_source import read_image_file
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.resources import DEFAULT_MODEL, model_card_path, share_folder
from trt_ssd_ros.core.timing import Timing
from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.ros.allocator import keep_freed_blocks
from trt_ssd_ros.ros.messages import image_to_msg, nanoseconds
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.tools.inference_timing import time_inference

STARTUP_SECONDS = 120.0
ENGINE_P50 = "engine p50 ms"
"""What the node's diagnostics call the time from pixels to detections."""


@dataclass(frozen=True)
class NodeReport:
    """What the node did with a stream of images.

    Attributes:
        latency: From publishing an image to receiving its detections.
        engine: Of it from pixels to detections, p50 in milliseconds, as the node's diagnostics tell.
        rate: Detections received a second.
        sent: Images published.
        received: Detections received.
        cpu_ms: Processor time of the node for each image it detected in.
        memory_mib: Resident memory of the node at the end.
    """

    latency: Timing
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
        self.sent = 0
        self.engine = math.nan
        self.first_answer = Event()
        self._message = image_to_msg(image, "bgr", Header())
        self._publisher = self.create_publisher(Image, "benchmark/image", 1)
        self.create_subscription(Detection2DArray, "benchmark/detections", self._receive, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._note_engine, 10)

    def send(self) -> None:
        """Publish the image with the present time as its stamp."""
        self._message.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(self._message)
        self.sent += 1

    def _receive(self, message: Detection2DArray) -> None:
        age = self.get_clock().now().nanoseconds - nanoseconds(message.header.stamp)
        self.latencies.append(age / 1e6)
        self.first_answer.set()

    def _note_engine(self, message: DiagnosticArray) -> None:
        values = [value for status in message.status for value in status.values if value.key == ENGINE_P50]
        self.engine = float(values[-1].value) if values else self.engine


def measure_node(
    parameters: Mapping[str, str], image: NDArray[np.uint8], rate: float, seconds: float
) -> NodeReport:
    """Run the detector node in a process of its own and stream images to it.

    Raises:
        RuntimeError: The node does not answer.
    """
    with ros_context([]) as executor, detector_process(parameters) as process:
        stream = ImageStream(image)
        keep_freed_blocks()
        executor.add_node(stream)
        with spinning(executor):
            await_first_answer(stream, process)
            time.sleep(1.0)
            stream.latencies.clear()
            stream.sent = 0
            cpu_before, start = cpu_seconds(process.pid), time.perf_counter()
            for tick in range(round(rate * seconds)):
                time.sleep(max(0.0, start + tick / rate - time.perf_counter()))
                stream.send()
            time.sleep(1.0)
            received = len(stream.latencies)
            if received == 0:
                raise RuntimeError(f"none of {stream.sent} images was answered")
            return NodeReport(
                latency=Timing.of(stream.latencies),
                engine=stream.engine,
                rate=received / seconds,
                sent=stream.sent,
                received=received,
                cpu_ms=(cpu_seconds(process.pid) - cpu_before) / received * 1e3,
                memory_mib=resident_mib(process.pid),
            )
    raise RuntimeError("interrupted")


@contextmanager
def detector_process(parameters: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the detector node on the benchmark's topics."""
    remaps = ["-r", "image:=benchmark/image", "-r", "detections:=benchmark/detections"]
    settings = chain.from_iterable(("-p", f"{name}:={value}") for name, value in parameters.items())
    command = [sys.executable, "-m", "trt_ssd_ros.ros.detector_node", "--ros-args", *remaps, *settings]
    command += ["--log-level", "warn"]
    process = subprocess.Popen(command)  # noqa: S603 - our own module
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def spinning(executor: Executor) -> Iterator[None]:
    """Spin an executor in a thread of its own."""
    thread = Thread(target=executor.spin)
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
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the detector node did not answer within {STARTUP_SECONDS:g} s")
        stream.send()


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(size: str, inference: Mapping[str, Timing], node: NodeReport, rate: float) -> str:
    """Return the results as a table, each beside its ratio to the bare session."""
    floor = next(iter(inference.values())).p50
    rows = {**inference, "image published to detections received": node.latency}
    lines = [f"{size}, {os.cpu_count()} CPU cores", f"{'':<40}{'p50 ms':>9}{'p99 ms':>9}{'p50 / first':>12}"]
    lines += [f"{name:<40}{t.p50:9.2f}{t.p99:9.2f}{t.p50 / floor:12.2f}" for name, t in rows.items()]
    lines.append(
        f"node: {node.received} of {node.sent} images at {rate:g} Hz, {node.rate:.1f} detections a second, "
        f"engine p50 {node.engine:.2f} ms, {node.cpu_ms:.1f} ms CPU an image, {node.memory_mib:.0f} MiB"
    )
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="benchmark", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model card or the path of one")
    parser.add_argument("--backend", choices=BACKENDS, default="onnxruntime", help="default: onnxruntime")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="for TensorRT (default: auto)")
    parser.add_argument("--width", type=int, default=1280, help="of the images, in pixels (default: 1280)")
    parser.add_argument("--height", type=int, default=720, help="of the images, in pixels (default: 720)")
    parser.add_argument("--rate", type=float, default=30.0, help="images a second for the node (default: 30)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to stream images (default: 10)")
    parser.add_argument("--repeats", type=int, default=200, help="images for the first two rows (default: 200)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        card = ModelCard.load(model_card_path(options.model))
        photo = read_image_file(share_folder() / "photos" / "chelsea.jpg")
        image = np.asarray(cv2.resize(photo, (options.width, options.height)), np.uint8)
        choice = EngineChoice(options.backend, options.precision)
        inference = time_inference(card, choice, image, options.repeats)
        parameters = {name: getattr(options, name) for name in ("model", "backend", "precision")}
        node = measure_node(parameters, image, options.rate, options.seconds)
    except (OSError, RuntimeError, ValueError, cv2.error) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print(report(f"{options.width}x{options.height}", inference, node, options.rate))
    if options.json:
        figures = {name: asdict(timing) for name, timing in inference.items()} | {"node": asdict(node)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
