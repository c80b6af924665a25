"""Measure the web node: processor time without viewers, with one and with ten, and the age of what they get.

python3 -m trt_ssd_ros.bench.ros.web [--seconds 8] [--rounds 3] [--json FILE]

A stand-in camera (1280x720, 30 Hz), a detector whose engine takes 10 ms, and the web node run in processes of
their own. The viewers are WebSocket clients in this process, which acknowledge frames as the page does
and draw nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rclpy.utilities import remove_ros_args

from trt_ssd_ros.bench.acknowledgements import Acknowledgements
from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.report import this_machine
from trt_ssd_ros.bench.ros.node import node_process
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.files import share_folder, write_atomically
from trt_ssd_ros.ros.transport import profile_environment
from trt_ssd_ros.version import add_version
from trt_ssd_ros.web.protocol import LENGTH

NAMESPACE = "__ns:=/benchmark"
CAMERA = ("trt_ssd_ros.bench.ros.stand_in_camera",)
DETECTOR = ("trt_ssd_ros.bench.ros.reference_nodes", "paced")
WEB = ("trt_ssd_ros.web.web_node",)
STARTUP_SECONDS, SETTLING = 30.0, 3.0
CASES = ("no viewer", "1 viewer", "10 viewers", "1 viewer and a stalled one")


@dataclass
class Viewers:
    """What the viewers of one case got.

    Attributes:
        ages: Milliseconds from the camera's stamp to the arrival of the frame.
        detector: Newest 99th percentile of the detector's latency in ms, from the page's diagnostics.
    """

    ages: list[float] = field(default_factory=list)
    detector: float | None = None


@dataclass(frozen=True)
class CaseReport:
    """Results of one case in one round.

    Attributes:
        case: One of CASES.
        frames: Frames per second of one viewer.
        age: Milliseconds from the camera's stamp to the arrival of a frame; None without viewers.
        web_cpu: Processor time of the web node, in cores.
        detector_cpu: Processor time of the detector, in cores.
        detector_p99: 99th percentile of the detector's latency in ms; None without viewers.
        web_mib: Anonymous memory of the web node in MiB.
        web_grown_mib: Growth of this memory during the case in MiB.
    """

    case: str
    frames: float
    age: Timing | None
    web_cpu: float
    detector_cpu: float
    detector_p99: float | None
    web_mib: float
    web_grown_mib: float

    @property
    def cpu(self) -> float:
        """Processor time of both nodes, in cores."""
        return self.web_cpu + self.detector_cpu


@dataclass(frozen=True)
class Nodes:
    """Running nodes.

    Attributes:
        port: Port of the web node.
        pids: Process ids of the detector and the web node, by `detector` and `web`.
    """

    port: int
    pids: Mapping[str, int]

    def usage(self) -> Mapping[str, ProcessUsage]:
        """Return the resources of the processes."""
        return {name: ProcessUsage.of(pid) for name, pid in self.pids.items()}


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def connected(port: int, stalled: bool = False) -> AsyncIterator[Any]:
    """Open a WebSocket of the page that looks at the camera; a stalled one has a small buffer."""
    aiohttp = load_library("aiohttp", "aiohttp", "the benchmark of the web node")
    async with (
        aiohttp.ClientSession(read_bufsize=1024 if stalled else 2**16) as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", max_msg_size=0) as opened,
    ):
        await opened.send_json({"type": "look", "cameras": [""], "rate": 0})
        yield opened


async def view(port: int, viewers: Viewers) -> None:
    """Receive and acknowledge frames until cancelled."""
    acknowledgements = Acknowledgements()
    async with connected(port) as page:
        async for message in page:
            if isinstance(message.data, bytes):
                now = time.time_ns()
                length = LENGTH.unpack_from(message.data)[0]
                header = json.loads(message.data[LENGTH.size : LENGTH.size + length])
                if drawn := acknowledgements.due(now / 1e9):
                    ack = {"type": "ack", "camera": "", "frame": header["frame"], "drawn": drawn}
                    await page.send_json(ack)
                seconds, _, rest = header["stamp"].partition(".")
                viewers.ages.append((now - int(seconds) * 10**9 - int(rest)) / 1e6)
            elif isinstance(message.data, str):
                _note_detector(viewers, json.loads(message.data))


def _note_detector(viewers: Viewers, text: Mapping[str, Any]) -> None:
    if text["type"] == "diagnostics":
        viewers.detector = text["cameras"][0]["figures"]["latency_p99_ms"] or viewers.detector


async def stall(port: int) -> None:
    """Acknowledge frames and read none, as often as the server cuts the connection."""
    while True:
        with suppress(ConnectionError):
            async with connected(port, stalled=True) as page:
                while not page.closed:
                    await page.send_json({"type": "ack", "camera": "", "frame": 2**53, "drawn": 1})
                    await asyncio.sleep(1 / 30)


async def measure_case(case: str, nodes: Nodes, seconds: float) -> CaseReport:
    """Measure one case."""
    viewers = Viewers()
    count = {"no viewer": 0, "10 viewers": 10}.get(case, 1)
    tasks = [asyncio.create_task(view(nodes.port, viewers)) for _ in range(count)]
    if case == CASES[-1]:
        tasks.append(asyncio.create_task(stall(nodes.port)))
    await asyncio.sleep(SETTLING)
    viewers.ages.clear()
    before, start = nodes.usage(), time.monotonic()
    await asyncio.sleep(seconds)
    elapsed = time.monotonic() - start
    after = nodes.usage()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cores = {name: (after[name].cpu_seconds - before[name].cpu_seconds) / elapsed for name in after}
    return CaseReport(
        case,
        len(viewers.ages) / elapsed / max(count, 1),
        Timing.of(viewers.ages) if viewers.ages else None,
        cores["web"],
        cores["detector"],
        viewers.detector,
        after["web"].private_mib,
        after["web"].private_mib - before["web"].private_mib,
    )


async def wait_for_frames(port: int) -> None:
    """Wait until a viewer gets frames.

    Raises:
        RuntimeError: No frame arrives.
    """
    end, viewers = time.monotonic() + STARTUP_SECONDS, Viewers()
    while not viewers.ages:
        if time.monotonic() > end:
            raise RuntimeError(f"no frame arrives within {STARTUP_SECONDS:g} s")
        task = asyncio.create_task(view(port, viewers))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measure(nodes: Nodes, cases: Sequence[str], seconds: float, rounds: int) -> list[CaseReport]:
    """Measure cases, in interleaved rounds."""
    await wait_for_frames(nodes.port)
    return [await measure_case(case, nodes, seconds) for _ in range(rounds) for case in cases]


@contextmanager
def started_nodes() -> Iterator[Nodes]:
    """Run a camera, a detector whose engine takes 10 ms, and the web node."""
    os.environ.update(profile_environment(share_folder() / "config" / "fastdds_large_images.xml"))
    with ExitStack() as stack:
        stack.enter_context(node_process(CAMERA, {"rate": "30.0"}, [NAMESPACE]))
        detector = stack.enter_context(node_process(DETECTOR, {"preview_rate": "0.0"}, [NAMESPACE]))
        port = free_port()
        web = stack.enter_context(node_process(WEB, {"port": str(port)}, [NAMESPACE]))
        yield Nodes(port, {"detector": detector.pid, "web": web.pid})


def run(cases: Sequence[str], seconds: float, rounds: int) -> list[CaseReport]:
    """Start the processes and measure.

    Raises:
        RuntimeError: No frame arrives, or aiohttp or psutil is not installed.
    """
    load_library("aiohttp", "aiohttp", "the benchmark of the web node")
    with started_nodes() as nodes:
        return asyncio.run(measure(nodes, cases, seconds, rounds))


def report(results: Sequence[CaseReport]) -> str:
    """Return the results as a table: medians of the rounds, and ratios of the web node's processor time."""
    lines = [
        f"{'1280x720, 30 Hz, engine of 10 ms':<34}{'frames/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'web CPU':>9}"
        f"{'detector':>9}{'its p99':>9}{'web MiB':>9}{'grown':>7}"
    ]
    for case in dict.fromkeys(result.case for result in results):
        its = [result for result in results if result.case == case]
        ages = [result.age for result in its if result.age is not None]
        p50, p99 = (
            median(getattr(age, name) for age in ages) if ages else float("nan") for name in ("p50", "p99")
        )
        lines.append(
            f"{case:<34}{median(r.frames for r in its):9.1f}{p50:8.1f}{p99:8.1f}"
            f"{median(r.web_cpu for r in its):9.1%}{median(r.detector_cpu for r in its):9.1%}"
            f"{median(r.detector_p99 or float('nan') for r in its):9.1f}{max(r.web_mib for r in its):9.0f}"
            f"{max(r.web_grown_mib for r in its):7.1f}"
        )
    return "\n".join([*lines, *_ratios(results)])


def _ratios(results: Sequence[CaseReport]) -> Iterator[str]:
    """Yield lines with the ratios of ten viewers to one."""
    none, one, ten = ([result for result in results if result.case == case] for case in CASES[:3])
    if not (none and one and ten):
        return
    alone = [many.web_cpu / single.web_cpu for single, many in zip(one, ten, strict=True)]
    together = [many.cpu / single.cpu for single, many in zip(one, ten, strict=True)]
    rounds = zip(none, one, ten, strict=True)
    added = [(many.cpu - idle.cpu) / (single.cpu - idle.cpu) for idle, single, many in rounds]
    yield "CPU of 10 viewers / 1, in rounds:"
    for whose, ratios in (
        ("web", alone),
        ("web and the detector, which encodes", together),
        ("web and the detector, less their CPU without viewers", added),
    ):
        yield f"  {whose}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="web_benchmark", description=__doc__)
    add_version(parser)
    parser.add_argument("--seconds", type=float, default=8.0, help="duration of each case in seconds (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: 3)")
    parser.add_argument(
        "--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=f"cases: {', '.join(CASES)}"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        results = run(options.cases, options.seconds, options.rounds)
    except (OSError, RuntimeError) as error:
        print(f"benchmark: {one_line(error)}", file=sys.stderr)
        return 1
    print(report(results))
    if options.json:
        figures = {
            "command": shlex.join(("python3", "-m", "trt_ssd_ros.bench.ros.web", *sys.argv[1:])),
            "machine": this_machine(),
            "cases": [asdict(its) for its in results],
        }
        write_atomically(options.json, f"{json.dumps(figures, indent=2)}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
