"""Measure detection between a robot and a base station, over cables of some rates; needs root.

sudo -E python3 -m trt_ssd_ros.bench.ros.links [--rates 1000 50 20] [--seconds 10] [--json FILE]

Both machines are network namespaces of this one (`two_machines`). The robot has the camera, which publishes the
demo at 1280x720, and consumes the detections; if it detects itself, the base station consumes them. The engine
finds nothing, in no time: the figures are those of the network.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from rclpy.utilities import remove_ros_args

from trt_ssd_ros.bench.report import this_machine
from trt_ssd_ros.bench.ros.cameras import CAMERA
from trt_ssd_ros.bench.ros.node import node_process
from trt_ssd_ros.bench.two_machines import QUEUE_MS, Machine, two_machines
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.version import add_version

DETECTOR = ("trt_ssd_ros.bench.ros.reference_nodes", "blank")
LISTENER = ("trt_ssd_ros.bench.ros.detection_log", "/detections")
LOCAL_VARIABLES = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS")
"""Variables of the environment that keep nodes on one machine."""
RATES = (1000.0, 100.0, 50.0, 30.0, 20.0, 10.0)


@dataclass(frozen=True)
class Setup:
    """Setup of the nodes: what crosses the cable.

    Attributes:
        at_base: Whether the detector runs on the base station; else on the robot.
        compressed: Whether the images are JPEG.
        reliability: Parameter `image_reliability` of the detector.
        rate: Images per second.
        least_mbit: Rate of the slowest cable that is measured, in Mbit/s.
    """

    at_base: bool = True
    compressed: bool = True
    reliability: str = "best_effort"
    rate: float = 30.0
    least_mbit: float = 0.0

    def detector(self) -> Mapping[str, str]:
        """Return the detector's parameters."""
        transport = "compressed" if self.compressed else "raw"
        return {"image_transport": transport, "image_reliability": self.reliability}

    def camera(self) -> Mapping[str, str]:
        """Return the camera's parameters."""
        return {"rate": str(self.rate), "compressed": str(self.compressed).lower()}


SETUPS: Mapping[str, Setup] = {
    "raw images, best effort": Setup(compressed=False, least_mbit=1000.0),
    "raw images, reliable": Setup(compressed=False, reliability="reliable", least_mbit=1000.0),
    "JPEG, best effort": Setup(),
    "JPEG, reliable": Setup(reliability="reliable"),
    "JPEG at 10 Hz, best effort": Setup(rate=10.0),
    "detections only": Setup(at_base=False, compressed=False, reliability="reliable"),
}


@dataclass(frozen=True)
class LinkReport:
    """Results of one setup over one cable.

    Attributes:
        setup: Key of SETUPS.
        mbit: Rate of the cable in Mbit/s, in each direction.
        answered: Share of the images with detections.
        latency: Milliseconds from an image's stamp to the arrival of its detections; None: none arrived.
        robot_mbit: Mbit/s that the robot sent.
    """

    setup: str
    mbit: float
    answered: float
    latency: Timing | None
    robot_mbit: float


def measure(name: str, mbit: float, seconds: float) -> LinkReport:
    """Measure one setup over one cable.

    Raises:
        RuntimeError: This computer cannot make two machines, or a node ends with an error.
    """
    setup = SETUPS[name]
    with two_machines() as (robot, base), ExitStack() as stack:
        for machine in (robot, base):
            machine.limit(mbit)
        where = base if setup.at_base else robot
        consumer = robot if setup.at_base else base
        stack.enter_context(node_process(CAMERA, setup.camera(), [], robot.command))
        stack.enter_context(node_process(DETECTOR, setup.detector(), [], where.command))
        latencies, sent = _listen(consumer, robot, seconds)
    latency = Timing.of(latencies) if latencies else None
    return LinkReport(name, mbit, len(latencies) / (setup.rate * seconds), latency, sent * 8e-6 / seconds)


def _listen(consumer: Machine, robot: Machine, seconds: float) -> tuple[list[float], int]:
    """Return the latencies of the detections that arrive at their consumer, and the bytes that the robot sends."""
    command = consumer.command([sys.executable, "-m", *LISTENER, str(seconds)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        process.stdout.readline()  # BEGIN, or the end
        before = robot.sent_bytes
        said = process.stdout.read()
        sent = robot.sent_bytes - before
    if process.returncode != 0:
        raise RuntimeError(f"the listener ended with {process.returncode}: see above")
    return [float(value) for value in json.loads(said)], sent


def header() -> str:
    """Return the head of the table."""
    return f"{'Mbit/s':>7} {'over the cable':<28}{'answered':>9}{'p50 ms':>8}{'p99 ms':>8}{'sent Mbit/s':>13}"


def row(result: LinkReport) -> str:
    """Return a line of the table."""
    times = result.latency
    cells = f"{times.p50:8.0f}{times.p99:8.0f}" if times else f"{'-':>8}{'-':>8}"
    return f"{result.mbit:7.0f} {result.setup:<28}{result.answered:9.0%}{cells}{result.robot_mbit:13.1f}"


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="link_benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument(
        "--rates", nargs="+", type=float, default=RATES, metavar="MBIT", help="rates of the cable in Mbit/s"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each measurement (default: 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(remove_ros_args(args)[1:])
    for name in LOCAL_VARIABLES:
        os.environ.pop(name, None)
    results = []
    print(f"1280x720, 30 Hz; packets that would wait {QUEUE_MS} ms for the cable are lost\n{header()}", flush=True)
    try:
        for mbit in options.rates:
            for name in (name for name, setup in SETUPS.items() if setup.least_mbit <= mbit):
                results.append(measure(name, mbit, options.seconds))
                print(row(results[-1]), flush=True)
    except (OSError, RuntimeError) as error:
        print(f"link_benchmark: {one_line(error)}", file=sys.stderr)
        return 1
    if options.json:
        figures = {
            "command": shlex.join(["python3", "-m", "trt_ssd_ros.bench.ros.links", *sys.argv[1:]]),
            "machine": this_machine(),
            "links": [asdict(result) for result in results],
        }
        write_atomically(options.json, f"{json.dumps(figures, indent=2)}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
