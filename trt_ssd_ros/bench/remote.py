"""Measure an inference server: added latency, fairness between robots, and the time to leave it and to return.

python3 -m trt_ssd_ros.bench.remote --url http://127.0.0.1:8000 --idle-url http://127.0.0.1:8001
python3 -m trt_ssd_ros.bench.remote --url http://127.0.0.1:8000 --robots 4 --cameras 2 --requests 10000
python3 -m trt_ssd_ros.bench.remote --url http://127.0.0.1:8000 --server 'PYTHON scripts/serve_model.py DIR MODEL'

`--idle-url` is a server with `serve_model.py --idle`, whose requests take the time of the transport alone. With
`--server` the benchmark starts the server itself, and freezes and kills it in turn. Images have the
size of the network.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.detection.engine import EngineUnavailableError, InferenceEngine, Tensors
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.detection.timing import Timing, time_rounds
from trt_ssd_ros.engines.fallback_engine import FallbackEngine
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.remote_engine import RemoteEngine
from trt_ssd_ros.engines.remote_server import MAX_TIMEOUT, RemoteOptions
from trt_ssd_ros.images.resize import Resize
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.shipped import model_card_path, sample_photos
from trt_ssd_ros.tools.command_line import add_options, count, run_command
from trt_ssd_ros.version import add_version

START = 60.0
"""Longest wait in seconds for the start of a server."""
PICTURES = 12
"""Number of different batches that a robot sends."""
RATE = 15.0
"""Images a second while the server is frozen and killed."""


def local_engine(card: ModelCard) -> OnnxRuntimeEngine:
    """Open the local engine, with the graph that the server has."""
    return OnnxRuntimeEngine(compose(load_network(card), card), 1)


def remote_engine(card: ModelCard, url: str, timeout: float = MAX_TIMEOUT) -> RemoteEngine:
    """Open an engine on a server."""
    return RemoteEngine(card, RemoteOptions(url, timeout=timeout))


def batches(card: ModelCard, images: int, seed: int) -> list[Tensors]:
    """Return different batches of the sample photos, each with its own thresholds."""
    random, size = np.random.default_rng(seed), card.input
    resize = Resize(size.width, size.height, size.resize)
    photos = [resize(photo) for photo in sample_photos()]

    def picture() -> NDArray[Any]:
        return np.roll(photos[random.integers(len(photos))], random.integers(size.width), axis=1)

    return [
        {
            "image": np.stack([picture() for _ in range(images)]),
            "channel_order": CHANNEL_ORDERS["bgr"],
            **Thresholds.uniform(card, float(random.uniform(0.01, 0.3))).tensors,
        }
        for _ in range(PICTURES)
    ]


def are_equal(found: Tensors, expected: Tensors) -> bool:
    """Return whether two engines found the same, bit for bit."""
    return all(np.array_equal(found[name], array) for name, array in expected.items())


def measure_latency(card: ModelCard, url: str, idle_url: str, repeats: int) -> Iterator[str]:
    """Time one image on the local engine, on the server, and on an idle server, in interleaved rounds."""
    [picture, *_] = batches(card, 1, 0)
    engines: dict[str, InferenceEngine] = {
        "local": local_engine(card),
        "remote": remote_engine(card, url),
        "transport": remote_engine(card, idle_url),
    }
    calls = {name: partial(engine.run, picture) for name, engine in engines.items()}
    times = {name: Timing.of(values.ravel()) for name, values in time_rounds(calls, repeats).items()}
    yield from (f"{name:<10}{timing.p50:8.2f} ms p50{timing.p99:8.2f} ms p99" for name, timing in times.items())
    added = times["remote"].p50 - times["local"].p50
    yield f"remote adds {added:.2f} ms to local: {added / times['transport'].p50:.2f} of the transport alone"


@dataclass
class Robot:
    """Robot that sends batches of its cameras back to back, until all robots have sent enough.

    Attributes:
        sent: Number of requests of each robot, shared.
        wrong: Number of wrong answers of each robot, shared.
    """

    model: str
    url: str
    number: int
    cameras: int
    requests: int
    sent: Any
    wrong: Any
    start: Any

    def run(self) -> None:
        """Send batches, and compare each answer with that of the local engine."""
        card = ModelCard.load(model_card_path(self.model))
        reference = local_engine(card)
        own = [(batch, dict(reference.run(batch))) for batch in batches(card, self.cameras, self.number)]
        with closing(remote_engine(card, self.url)) as engine:
            engine.check(self.cameras)
            self.start.wait()
            while sum(self.sent) < self.requests:
                batch, expected = own[self.sent[self.number] % len(own)]
                self.wrong[self.number] += not are_equal(engine.run(batch), expected)
                self.sent[self.number] += 1


def measure_fairness(model: str, url: str, robots: int, cameras: int, requests: int) -> Iterator[str]:
    """Let robots, a process each, share a server."""
    context = get_context("spawn")
    sent: Any = context.Array("q", robots)
    wrong: Any = context.Array("q", robots)
    start = context.Barrier(robots)
    processes = [
        context.Process(target=Robot(model, url, number, cameras, requests, sent, wrong, start).run)
        for number in range(robots)
    ]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds, counts = time.perf_counter() - began, list(sent)
    if any(process.exitcode for process in processes):
        raise RuntimeError("a robot failed; its error is above")
    yield f"{sum(counts)} requests of {cameras} images by {robots} robots in {seconds:.0f} s: {counts}"
    yield f"fairness {max(counts) / min(counts):.3f} (most by fewest), wrong answers {sum(wrong)}"


class ServerProcess:
    """Server that the benchmark starts, freezes and kills, with the processes that it starts."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        self.start()

    def start(self) -> None:
        """Start the server."""
        self._process = subprocess.Popen(  # noqa: S603 - the user's command
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and its processes."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill the server and its processes."""
        self.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def started_server(command: str) -> Iterator[ServerProcess]:
    """Start a server, and kill it after the body."""
    server = ServerProcess(command)
    try:
        yield server
    finally:
        server.kill()


class FaultRun:
    """Camera at RATE whose engine leaves a server and returns to it.

    Args:
        card: Model card.
        url: Address of the server.
        stop: Event that ends the measurement.
    """

    def __init__(self, card: ModelCard, url: str, stop: Event) -> None:
        self._reference, self._stop = local_engine(card), stop
        self._own = [(batch, dict(self._reference.run(batch))) for batch in batches(card, 1, 0)]
        self._server = remote_engine(card, url)
        self.engine = FallbackEngine(remote_engine(card, url, RemoteOptions().timeout), self._reference)
        self.wrong, self.sent = 0, 0

    def await_server(self) -> None:
        """Wait until the server answers."""
        end = time.monotonic() + START
        while True:
            try:
                return self._server.check()
            except EngineUnavailableError:
                if self._stop.wait(0.05) or time.monotonic() > end:
                    raise

    def until(self, is_degraded: bool) -> float:
        """Detect until the server is left or used again; return the seconds since the call."""
        began = time.monotonic()
        while True:
            batch, expected = self._own[self.sent % len(self._own)]
            self.wrong += not are_equal(self.engine.run(batch), expected)
            self.sent += 1
            if bool(self.engine.degraded) == is_degraded or self._stop.is_set():
                return time.monotonic() - began
            time.sleep(1 / RATE)

    def steady(self) -> None:
        """Detect in as many images as a steady server answers."""
        for _ in range(30):
            self.until(bool(self.engine.degraded))


def measure_faults(card: ModelCard, url: str, command: str, rounds: int, stop: Event) -> Iterator[str]:
    """Freeze and kill a server in turn, and time the first detections without it, and the first with it again."""
    times: dict[str, list[tuple[float, float]]] = {"frozen": [], "killed": []}
    usage = []
    with started_server(command) as server:
        run = FaultRun(card, url, stop)
        run.await_server()
        for fault in islice(cycle(times), rounds):
            run.until(is_degraded=False)
            run.steady()
            usage.append(ProcessUsage.of(os.getpid()))
            times[fault].append(time_fault(server, run, fault == "frozen"))
            if stop.is_set():
                raise KeyboardInterrupt
        run.engine.close()
    for fault, both in times.items():
        left, back = (max(seconds) for seconds in zip(*both, strict=True))
        yield f"{fault} {len(both)} times: left after at most {left:.2f} s, back after at most {back:.2f} s"
    first, last = usage[1], usage[-1]
    yield f"wrong answers {run.wrong} of {run.sent}"
    yield f"memory {first.memory_mib:.0f} to {last.memory_mib:.0f} MiB"
    yield f"threads {first.threads} to {last.threads}, open files {first.descriptors} to {last.descriptors}"


def time_fault(server: ServerProcess, run: FaultRun, frozen: bool) -> tuple[float, float]:
    """Return the seconds until the first detections without a server, and until the first with it again."""
    if frozen:
        server.send_signal(signal.SIGSTOP)
    else:
        server.kill()
    left = run.until(is_degraded=True)
    if frozen:
        server.send_signal(signal.SIGCONT)
    else:
        server.start()
        run.await_server()
    return left, run.until(is_degraded=False)


def measure(options: argparse.Namespace, stop: Event) -> int:
    """Run the measurements of a command line, and return the exit code."""
    card = ModelCard.load(model_card_path(options.model))
    lines: list[Iterator[str]] = []
    if options.idle_url:
        lines.append(measure_latency(card, options.url, options.idle_url, options.repeats))
    if options.robots:
        lines.append(
            measure_fairness(options.model, options.url, options.robots, options.cameras, options.requests)
        )
    if options.server:
        lines.append(measure_faults(card, options.url, options.server, options.rounds, stop))
    for measurement in lines:
        for line in measurement:
            print(line, flush=True)
    return 0


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="remote_benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    add_options(parser, "model")
    parser.add_argument("--url", required=True, help="address of the server")
    parser.add_argument("--idle-url", default="", metavar="URL", help="server with --idle; measures the latency")
    parser.add_argument("--repeats", type=count, default=200, metavar="N", help="timed requests; default: 200")
    parser.add_argument("--robots", type=count, default=0, metavar="N", help="robots; measures the fairness")
    parser.add_argument("--cameras", type=count, default=2, metavar="N", help="cameras of a robot; default: 2")
    parser.add_argument("--requests", type=count, default=10_000, metavar="N", help="all requests; default: 10000")
    parser.add_argument("--server", default="", metavar="COMMAND", help="starts the server; measures the fallback")
    parser.add_argument("--rounds", type=count, default=20, metavar="N", help="rounds of --server; default: 20")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    return run_command("bench.remote", partial(measure, new_parser().parse_args(args)))


if __name__ == "__main__":
    sys.exit(main())
