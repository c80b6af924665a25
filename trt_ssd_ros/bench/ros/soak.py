"""Soak test: growth of the detector node's memory, threads and descriptors, with an echo node as baseline."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier, remove_ros_args
from tqdm import tqdm

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.ros.node import end, spinning
from trt_ssd_ros.bench.ros.soak_neighbour import NAMESPACE, Disturber
from trt_ssd_ros.bench.speed import resized
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.models.shipped import sample_photos
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.version import add_version

MODULES = {
    "detector": ["trt_ssd_ros.node.detector_node"],
    "echo": ["trt_ssd_ros.bench.ros.reference_nodes", "echo"],
}
MEASURES = {
    "memory_mib": "resident memory (MiB)",
    "private_mib": "private memory (MiB)",
    "threads": "threads",
    "descriptors": "file descriptors",
}
SAMPLES = 60
"""Number of samples, evenly spaced."""
WARM_UP = 1 / 3
"""Share of the time that does not count, while allocators and caches fill."""
CHECK_PERIOD = 0.5
"""Longest time between two checks that the nodes still run, in seconds."""
MIN_ANSWERS = 5
"""Number of detection messages that show that the node responds."""
TIMEOUT = 60.0
"""Time limit for the node's detections at the start and at the end, in seconds."""


@dataclass
class SoakReport:
    """Disturbances, samples and growth of a soak test.

    Attributes:
        minutes: Duration of the test in minutes.
        done: Number of disturbances by kind.
        answers: Number of received detection messages.
        times: Seconds from the start to each sample.
        samples: Resources by process, at these times.
        image_mib: Image size in MiB; memory grows by this step at a new maximum of simultaneous images.
    """

    minutes: float
    done: Mapping[str, int] = field(default_factory=dict)
    answers: int = 0
    times: list[float] = field(default_factory=list)
    samples: dict[str, list[ProcessUsage]] = field(default_factory=dict)
    image_mib: float = 0.0

    def series(self, process: str, measure: str) -> list[float]:
        """Return the samples of one measure."""
        return [round(float(getattr(sample, measure)), 2) for sample in self.samples[process]]

    def growth(self, process: str, measure: str) -> float:
        """Return the growth of a measure per hour after the warm-up: the slope of the least-squares line."""
        first = int(len(self.times) * WARM_UP)
        hours = np.array(self.times[first:]) / 3600
        return round(float(np.polyfit(hours, self.series(process, measure)[first:], 1)[0]), 2) + 0.0

    def figures(self) -> dict[str, object]:
        """Return the report for JSON, with ROS distribution, middleware and number of cores."""
        machine = {"ros": os.environ.get("ROS_DISTRO"), "rmw": get_rmw_implementation_identifier()}
        return {
            **machine,
            "cores": os.cpu_count(),
            **{name: value for name, value in vars(self).items() if name != "samples"},
            "growth_an_hour": {name: {m: self.growth(name, m) for m in MEASURES} for name in self.samples},
            "samples": {name: {m: self.series(name, m) for m in MEASURES} for name in self.samples},
        }

    def __str__(self) -> str:
        """Return the report as a table."""
        actions = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(self.done.items()))
        lines = [
            f"{self.minutes:g} minutes: {actions}; {self.answers} detections; images of {self.image_mib:g} MiB"
        ]
        lines.append(f"{'growth per hour (final value)':<30}" + "".join(f"{name:>24}" for name in self.samples))
        for measure, text in MEASURES.items():
            cells = [
                f"{self.growth(name, measure):+.2f} ({self.series(name, measure)[-1]:.0f})"
                for name in self.samples
            ]
            lines.append(f"{text:<30}" + "".join(f"{cell:>24}" for cell in cells))
        return "\n".join(lines)


def soak(minutes: float, rate: float, size: tuple[int, int], seed: int) -> SoakReport:
    """Disturb a detector node for some minutes.

    Args:
        minutes: Duration in minutes.
        rate: Images per second.
        size: Width and height of the images in pixels.
        seed: Seed of the disturbances.

    Raises:
        RuntimeError: A node ended, or sends no detections.
    """
    image = resized(sample_photos()[1], size)
    report = SoakReport(minutes, image_mib=round(image.nbytes / 2**20, 2))
    with ros_context([]) as ros, soaked_processes() as processes:
        disturber = ros.add(Disturber(image, rate, seed))
        with spinning(ros.executor):
            await_answer(disturber, processes, "at the start")
            disturber.disturb()
            watch(processes, report)
            disturber.stop_disturbing()
            await_answer(disturber, processes, "after the disturbances")
            report.done, report.answers = dict(disturber.done), disturber.answers
            return report
    raise RuntimeError("interrupted")


@contextmanager
def soaked_processes() -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    """Run the detector node and the echo node on a simulated clock."""
    with ExitStack() as stack:
        processes = {}
        for name, module in MODULES.items():
            remaps = ["-r", f"__ns:={NAMESPACE}", "-r", f"/clock:={NAMESPACE}/clock"]
            remaps += [] if name == "detector" else ["-r", f"detections:={name}/detections"]
            settings = ["-p", "use_sim_time:=true", "--log-level", "error"]
            command = [sys.executable, "-m", *module, "--ros-args", *remaps, *settings]
            processes[name] = subprocess.Popen(command)  # noqa: S603 - our own modules
            stack.callback(end, processes[name])
        yield processes


def watch(processes: Mapping[str, subprocess.Popen[bytes]], report: SoakReport) -> None:
    """Take samples until the end of the test."""
    start, seconds = time.monotonic(), report.minutes * 60
    report.samples = {name: [] for name in processes}
    for number in tqdm(range(SAMPLES), desc="soak", disable=None):
        while (elapsed := time.monotonic() - start) < seconds * number / (SAMPLES - 1):
            check_running(processes)
            time.sleep(min(CHECK_PERIOD, seconds / SAMPLES))
        report.times.append(round(elapsed, 1))
        for name, process in processes.items():
            report.samples[name].append(ProcessUsage.of(process.pid))


def await_answer(disturber: Disturber, processes: Mapping[str, subprocess.Popen[bytes]], when: str) -> None:
    """Wait for detections."""
    answers, deadline = disturber.answers, time.monotonic() + TIMEOUT
    while disturber.answers < answers + MIN_ANSWERS:
        check_running(processes)
        if time.monotonic() > deadline:
            raise RuntimeError(f"the detector node sent no detections within {TIMEOUT:g} s {when}")
        time.sleep(0.1)


def check_running(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Require that all processes run and the test is not interrupted.

    Raises:
        RuntimeError: A process has ended, or the test was interrupted.
    """
    if not rclpy.ok():
        raise RuntimeError("interrupted")
    for name, process in processes.items():
        if process.poll() is not None:
            raise RuntimeError(f"the {name} node ended with exit code {process.returncode}")


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return a parser of numbers above 0 for argparse."""

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"found {text}, expected a {whole}number above 0")
        return number

    return read


def main(args: Sequence[str] | None = None) -> int:
    """Run the soak from the command line."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    add_version(parser)
    parser.add_argument("--minutes", type=positive(float), default=2.0, help="duration in minutes (default: 2)")
    parser.add_argument("--rate", type=positive(float), default=10.0, help="images per second (default: 10)")
    parser.add_argument("--width", type=positive(int), default=640, help="image width in pixels (default: 640)")
    parser.add_argument("--height", type=positive(int), default=480, help="image height in pixels (default: 480)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the disturbances (default: 0)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        report = soak(options.minutes, options.rate, (options.width, options.height), options.seed)
        print(report)
        if options.json:
            write_atomically(options.json, (json.dumps(report.figures(), indent=1) + "\n").encode())
    except (OSError, RuntimeError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
