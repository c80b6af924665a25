"""Measure TensorRT on this machine's GPU: latency against bound and peers, sizes, batches, starts, memory.

python3 -m trt_ssd_ros.bench.gpu --output docs/results
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import date
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.gpu_peers import TutorialNetwork, torch_calls
from trt_ssd_ros.bench.speed import images_per_second, resized
from trt_ssd_ros.bench.tutorial import TutorialPipeline
from trt_ssd_ros.detection.timing import time_interleaved
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.card_plans import FIXED_PRECISIONS, CardPlans
from trt_ssd_ros.engines.cuda import CudaDevice, Gpu, SharedMemory
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.errors import load_pyplot
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import DEFAULT_MODEL, model_card_path, sample_photos
from trt_ssd_ros.version import add_version


def detect_first(precision: str) -> None:
    """Open the default model on TensorRT and detect once; `first_detection` times this in a new process."""
    card = ModelCard.load(model_card_path(DEFAULT_MODEL))
    detector = open_detector(card, EngineChoice("tensorrt", precision), sample_photos())
    detector.detect(np.zeros((720, 1280, 3), np.uint8))
    print("detected", flush=True)
    detector.close()


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """Draw latency against its bound and peers, over image size, and over the batch, as PNG.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    figure, (left, middle, right) = load_pyplot().subplots(1, 3, figsize=(17, 5), layout="constrained")
    machine = figures["machine"]
    shown = [name for name in machine if name.startswith(("gpu", "tensorrt", "date"))]
    figure.suptitle(", ".join(f"{name} {machine[name]}" for name in shown))
    _latency(left, figures["latency"])
    _sizes(middle, figures["sizes"])
    _batches(right, figures["batches"])
    figure.savefig(path, dpi=110)


def _latency(axes: Any, latency: Mapping[str, Mapping[str, float]]) -> None:
    rows = sorted(latency.items(), key=lambda row: -row[1]["p50"])
    names = [name for name, _ in rows]
    colours = ["tab:green" if "ours" in name else "tab:gray" for name in names]
    bars = axes.barh(names, [row["p50"] for _, row in rows], color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xscale="log", xlabel="ms, p50", title="1280x720 in pageable memory to detections")


def _sizes(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    for precision in ("fp32", "fp16"):
        for capture, style in ((True, "o-"), (False, "o--")):
            chosen = [row for row in rows if (row["precision"], row["cuda_graph"]) == (precision, capture)]
            pixels = [row["width"] * row["height"] / 1e6 for row in chosen]
            label = f"{precision}, {'with' if capture else 'without'} CUDA graph"
            axes.plot(pixels, [row["p50"] for row in chosen], style, label=label)
    axes.set(xlabel="megapixels", ylabel="ms, p50", title="one image", ylim=0)
    axes.legend()


def _batches(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    for precision in ("fp32", "fp16"):
        chosen = [row for row in rows if row["precision"] == precision]
        axes.plot([row["batch"] for row in chosen], [row["frames_per_s"] for row in chosen], "o-", label=precision)
    axes.set(xlabel="images per batch", ylabel="frames per second", title="1280x720, batches", ylim=0)
    axes.legend()


SIZES = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))
REFERENCE = (1280, 720)
BATCHES = (1, 2, 4, 8)
SHRUNK_BATCHES = (1, 8, 32)
Figures = dict[str, Any]
Image = NDArray[np.uint8]


class GpuBenchmark:
    """Measurements of one run.

    Args:
        folder: Folder of the plans.
        repeats: Images per figure.
    """

    def __init__(self, folder: Path, repeats: int) -> None:
        self._card = ModelCard.load(model_card_path(DEFAULT_MODEL))
        self._cache = PlanCache(folder)
        self._repeats = repeats
        self._photo = sample_photos()[1]

    def run(self) -> Figures:
        """Measure everything and print each result."""
        figures: Figures = {}
        steps: dict[str, Callable[[], Any]] = {
            "starts": self.starts,
            "memory_mib": self.memory,
            "latency": self.latency,
            "sizes": self.sizes,
            "batches": self.batches,
            "shrunk_batches": self.shrunk_batches,
        }
        for name, step in steps.items():
            start = time.monotonic()
            figures[name] = step()
            print(f"{name} ({time.monotonic() - start:.0f} s): {json.dumps(figures[name])}", flush=True)
        return figures

    def _plans(self, batch: int = 1) -> CardPlans:
        options = BuildOptions(batch=batch)
        return CardPlans(self._card, load_tensorrt(), Gpu.find(), options, self._cache, LoggedProgress())

    def _image(self, size: tuple[int, int]) -> Image:
        return resized(self._photo, size)

    def starts(self) -> Figures:
        """Measure seconds from process start to first detection, with an empty and with a filled cache."""
        return {name: self._start(name) for name in (*FIXED_PRECISIONS, "auto")}

    def _start(self, precision: str) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            seconds = [first_detection(precision, folder) for _ in range(4)]
        return {"cold_s": round(seconds[0], 2), "warm_s": [round(s, 2) for s in seconds[1:]]}

    def memory(self) -> Figures:
        """Measure MiB of GPU memory beyond the bare CUDA context, after detection in one 1280x720 image."""
        device = CudaDevice()
        bare = device.memory_used()
        used: Figures = {"bare context": bare >> 20}
        for precision in FIXED_PRECISIONS:
            detector = self._plans().open_detector(precision)
            detector.detect(self._image(REFERENCE))
            used[precision] = (device.memory_used() - bare) >> 20
            detector.close()
        device.close()
        return used

    def latency(self) -> Figures:
        """Measure milliseconds from a 1280x720 image in pageable memory to detections, with bound and peers.

        Ours is also measured with the image in a memory map, which is locked where it is, as in the node.
        The bound is the CUDA graph (upload, network, download), launched back to back.
        """
        image = self._image(REFERENCE)
        with ExitStack() as opened:
            calls: dict[str, Callable[[], object]] = {}
            gpu_times = {}
            for precision in FIXED_PRECISIONS:
                plans = self._plans()
                engine = plans.open(precision)
                opened.callback(engine.close)
                detector = plans.detector(engine)
                calls[f"ours, {precision}"] = partial(detector.detect, image)
                calls[f"ours, {precision}"]()
                mapped = np.frombuffer(mmap(-1, image.nbytes), np.uint8).reshape(image.shape)
                np.copyto(mapped, image)  # of its own, because a map is locked once
                calls[f"ours, {precision}, memory map"] = partial(detector.detect, mapped)
                gpu_times[precision] = engine.gpu_time()
                network = TutorialNetwork(self._card, load_tensorrt(), half=precision == "fp16")
                opened.callback(network.close)
                calls[f"2020-style, {precision}"] = partial(TutorialPipeline(self._card, network).detect, image)
            calls["bare upload from pinned memory"] = opened.enter_context(bare_upload(image))
            calls |= torch_calls(image)
            times = time_interleaved(calls, self._repeats)
        bounds = {f"bound, {name}": {"p50": gpu, "p99": gpu} for name, gpu in gpu_times.items()}
        return {name: asdict(timing) for name, timing in times.items()} | bounds

    def sizes(self) -> list[Figures]:
        """Measure milliseconds by image size and precision, with and without a CUDA graph."""
        rows = []
        for precision in FIXED_PRECISIONS:
            for capture in (True, False):
                detector = self._plans().open_detector(precision, capture)
                for width, height in SIZES:
                    image = self._image((width, height))
                    detector.detect(image)
                    timing = time_interleaved({"": partial(detector.detect, image)}, self._repeats)[""]
                    rows.append(
                        {"width": width, "height": height, "precision": precision, "cuda_graph": capture}
                        | asdict(timing)
                    )
                detector.close()
        return rows

    def batches(self) -> list[Figures]:
        """Measure milliseconds, and frames per second with two batches in flight, by batch, at 1280x720."""
        rows = []
        for precision in FIXED_PRECISIONS:
            detector = self._plans(max(BATCHES)).open_detector(precision)
            for batch in BATCHES:
                images = np.stack([self._image(REFERENCE)] * batch)
                detector.detect_batch(images)
                timing = time_interleaved({"": partial(detector.detect_batch, images)}, self._repeats)[""]
                rate = images_per_second(detector, images, self._repeats)
                rows.append({"batch": batch, "precision": precision, "frames_per_s": rate} | asdict(timing))
            detector.close()
        return rows

    def shrunk_batches(self) -> list[Figures]:
        """Measure frames per second with two batches in flight, of images of the network's size.

        The bound is the CUDA graph (upload, network, download), launched back to back.
        """
        rows = []
        for batch in SHRUNK_BATCHES:
            plans = self._plans(batch)
            engine = plans.open("fp16")
            detector = plans.detector(engine)
            images = np.stack([self._image((self._card.input.width, self._card.input.height))] * batch)
            detector.detect_batch(images)
            rate, bound = images_per_second(detector, images, self._repeats), batch * 1e3 / engine.gpu_time()
            rows.append({"batch": batch, "precision": "fp16", "frames_per_s": rate, "bound": bound})
            detector.close()
        return rows


@contextmanager
def bare_upload(image: Image) -> Iterator[Callable[[], None]]:
    """Yield a call that uploads an image from pinned memory and waits for it."""
    device = CudaDevice()
    with device.bound():
        memory = SharedMemory(device, {"image": (image.dtype, image.shape)})

    def upload() -> None:
        with device.bound():
            memory.upload()
            device.stream.synchronize()

    yield upload
    with device.bound():
        memory.close()
    device.close()


def first_detection(precision: str, folder: str) -> float:
    """Return the seconds from the start of a new process to its first detection."""
    environment = {**os.environ, "TRT_SSD_ENGINE_DIR": folder}
    start = time.monotonic()
    script = f"from trt_ssd_ros.bench.gpu import detect_first; detect_first({precision!r})"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.monotonic() - start
        process.communicate()
    if line.strip() != "detected" or process.returncode:
        raise RuntimeError(f"the first detection of a new process failed (exit code {process.returncode})")
    return seconds


def machine() -> Figures:
    """Return the GPU and the versions of driver and libraries."""
    import pycuda  # noqa: PLC0415 - the GPU layer needs it anyway
    import pycuda.driver as cuda  # noqa: PLC0415

    library, gpu = load_tensorrt(), Gpu.find()
    return {
        "date": date.today().isoformat(),
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "cuda_driver": cuda.get_driver_version(),
        library.flavour: library.version,
        "pycuda": pycuda.VERSION_TEXT,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "opencv_active_wait_worker": os.environ["OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER"],
    }


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="gpu_benchmark", description=__doc__)
    add_version(parser)
    parser.add_argument("--output", type=Path, default=Path("docs/results"), help="folder of the results")
    parser.add_argument("--repeats", type=int, default=500, help="images per figure (default: 500)")
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as folder:
        measured = GpuBenchmark(Path(folder), options.repeats).run()
    command = shlex.join(["python3", "-m", "trt_ssd_ros.bench.gpu", *sys.argv[1:]])
    figures = {"command": command, "machine": machine(), **measured}
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / f"gpu_{Gpu.find().name.replace(' ', '_')}"
    stem.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n")
    plot(figures, stem.with_suffix(".png"))
    print(f"written: {stem}.json and .png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
