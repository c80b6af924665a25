"""Soak test: growth of the detector node's memory, threads and descriptors, beside an echo node's."""

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
from trt_ssd_ros.files import write_whole
from trt_ssd_ros.models.shipped import sample_photos
from trt_ssd_ros.ros.process import ros_context

MODULES = {
    "detector": ["trt_ssd_ros.node.detector_node"],
    "echo": ["trt_ssd_ros.bench.ros.reference_nodes", "echo"],
}
MEASURES = {
    "memory_mib": "resident memory (MiB)",
    "private_mib": "of it its own (MiB)",
    "threads": "threads",
    "descriptors": "descriptors",
}
SAMPLES = 60
"""Number of samples, evenly spread."""
WARM_UP = 1 / 3
"""Share of the time that does not count: allocators and caches fill."""
LOOK_PERIOD = 0.5
"""Seconds between two looks whether the nodes still run."""
ANSWERS = 5
"""Detections that show that the node answers."""
PATIENCE = 60.0
"""Seconds in which the node has to answer, at the start and at the end."""


@dataclass
class SoakReport:
    """Disturbances, samples and growth.

    Attributes:
        minutes: Duration of the soak.
        done: Number of disturbances by kind.
        answers: Detections received.
        times: Seconds from the start to each sample.
        samples: Resources of each process at these times.
        image_mib: Size of an image; memory grows by one when more of them are alive at once than ever before.
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
        """Return how fast a measure grew after the warm-up, an hour: the slope of the line that fits it best."""
        first = int(len(self.times) * WARM_UP)
        hours = np.array(self.times[first:]) / 3600
        return round(float(np.polyfit(hours, self.series(process, measure)[first:], 1)[0]), 2) + 0.0

    def figures(self) -> dict[str, object]:
        """Return all of it as JSON has it, with where it ran."""
        machine = {"ros": os.environ.get("ROS_DISTRO"), "rmw": get_rmw_implementation_identifier()}
        return {
            **machine,
            "cores": os.cpu_count(),
            **{name: value for name, value in vars(self).items() if name != "samples"},
            "growth_an_hour": {name: {m: self.growth(name, m) for m in MEASURES} for name in self.samples},
            "samples": {name: {m: self.series(name, m) for m in MEASURES} for name in self.samples},
        }

    def __str__(self) -> str:
        """Return it as a table."""
        acts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(self.done.items()))
        lines = [f"{self.minutes:g} minutes: {acts}; {self.answers} detections; images of {self.image_mib:g} MiB"]
        lines.append(f"{'growth an hour (at the end)':<30}" + "".join(f"{name:>24}" for name in self.samples))
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
        minutes: Duration.
        rate: Images a second.
        size: Width and height of the images in pixels.
        seed: Seed of the disturbances.

    Raises:
        RuntimeError: A node ended, or does not answer.
    """
    image = resized(sample_photos()[1], size)
    report = SoakReport(minutes, image_mib=round(image.nbytes / 2**20, 2))
    with ros_context([]) as ros, soaked_processes() as processes:
        disturber = ros.add(Disturber(image, rate, seed))
        with spinning(ros.executor):
            await_answer(disturber, processes, "at the start")
            disturber.disturb()
            watch(processes, report)
            disturber.calm()
            await_answer(disturber, processes, "once it was left alone")
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
    """Take samples until the time is over."""
    start, seconds = time.monotonic(), report.minutes * 60
    report.samples = {name: [] for name in processes}
    for number in tqdm(range(SAMPLES), desc="soak", disable=None):
        while (elapsed := time.monotonic() - start) < seconds * number / (SAMPLES - 1):
            check_running(processes)
            time.sleep(min(LOOK_PERIOD, seconds / SAMPLES))
        report.times.append(round(elapsed, 1))
        for name, process in processes.items():
            report.samples[name].append(ProcessUsage.of(process.pid))


def await_answer(disturber: Disturber, processes: Mapping[str, subprocess.Popen[bytes]], when: str) -> None:
    """Wait for detections."""
    answers, deadline = disturber.answers, time.monotonic() + PATIENCE
    while disturber.answers < answers + ANSWERS:
        check_running(processes)
        if time.monotonic() > deadline:
            raise RuntimeError(f"the detector node did not answer within {PATIENCE:g} s {when}")
        time.sleep(0.1)


def check_running(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Raise RuntimeError if a process has ended, or we are to."""
    if not rclpy.ok():
        raise RuntimeError("interrupted")
    for name, process in processes.items():
        if process.poll() is not None:
            raise RuntimeError(f"the {name} node ended with {process.returncode}")


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return a reader of numbers above 0 for argparse."""

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
    parser.add_argument("--minutes", type=positive(float), default=2.0, help="how long (default: 2)")
    parser.add_argument("--rate", type=positive(float), default=10.0, help="images a second (default: 10)")
    parser.add_argument("--width", type=positive(int), default=640, help="of the images (default: 640)")
    parser.add_argument("--height", type=positive(int), default=480, help="of the images (default: 480)")
    parser.add_argument("--seed", type=int, default=0, help="of what is done to the node (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        report = soak(options.minutes, options.rate, (options.width, options.height), options.seed)
        print(report)
        if options.json:
            write_whole(options.json, (json.dumps(report.figures(), indent=1) + "\n").encode())
    except (OSError, RuntimeError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
