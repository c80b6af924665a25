"""Throughput of `detect` on a video: the whole run, and reading, network and encoding alone, interleaved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, count, cycle, islice, takewhile
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.bench.speed import bare_network
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.detection.timing import time_rounds
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.source import ImageSource, SourceError
from trt_ssd_ros.tools.command_line import progress
from trt_ssd_ros.tools.detect.annotated import AnnotatedOutput, AnnotatedVideo, NotAnnotated
from trt_ssd_ros.tools.detect.run import DetectionRun

Item = TypeVar("Item")

DEMO = "demo"
"""Name of a generated video of the sample photos."""
ROUNDS = 5
BUFFERED = 40
"""Number of images in memory, which the separately measured stages reuse."""
SINGLE_STAGES = ("reading", "network", "encoding")


class DetectMeasurement:
    """Stages of `detect` that are timed on one video.

    Args:
        detectors: Detectors that share the images.
        images: A video or a recording.
        batch: Largest number of images per call.
        images_per_round: Largest number of images per round.
        folder: Folder for the videos and results that a run writes.
        stop: Event that ends a stage.
        cpu_threads: Number of CPU threads of the network alone; 0: all cores.

    Attributes:
        engine_name: Name of the engine.
        count: Images per round.
        memory_mib: Resident memory in MiB after BUFFERED images of the last whole run, and at its end.

    Raises:
        SourceError: The input is no video, or is too short.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        images: ImageSource,
        batch: int,
        images_per_round: int,
        folder: Path,
        stop: Event,
        cpu_threads: int = 0,
    ) -> None:
        if images.live or not images.is_video:
            raise SourceError("--video: found images or a camera, expected a video file or a recording")
        detector = detectors[0]
        self._detectors, self._images, self._batch, self._folder = detectors, images, batch, folder
        self._stop, self.engine_name = stop, detector.engine_name
        self._buffered = [image for image in islice(images.images(), BUFFERED) if not image.problem]
        if len(self._buffered) < BUFFERED:
            raise SourceError(f"--video: found {len(self._buffered)} images, expected {BUFFERED} or more")
        found = [detector.detect(image.pixels, image.channel_order) for image in self._buffered]
        self._drawn = [
            draw_detections(image.pixels, detections, detector.card.labels)
            for image, detections in zip(self._buffered, found, strict=True)
        ]
        is_bare = detector.engine_kind == "onnxruntime"
        self._network = bare_network(detector, cpu_threads) if is_bare else detector.detect
        self.count = max(BUFFERED, min(images_per_round, images.count or images_per_round))
        self.memory_mib: list[float] = []

    def tasks(self) -> Mapping[str, Callable[[], None]]:
        """Return the stages by name."""
        return {
            "reading": self.read,
            "network": self.run_network,
            "encoding": self.encode,
            "together, nothing drawn": lambda: self.run_pipeline(NotAnnotated()),
            "together": lambda: self.run_pipeline(AnnotatedVideo(self._folder / "measured.mp4")),
        }

    def rounds(self) -> Mapping[str, NDArray[np.float64]]:
        """Time all stages, interleaved; return the milliseconds (ROUNDS,) per image by stage.

        Raises:
            KeyboardInterrupt: The measurement was stopped.
        """
        tasks = self.tasks()
        with progress(ROUNDS * len(tasks), " turns", self._stop) as done:
            times = time_rounds(tasks, ROUNDS, done=done)
        return {name: milliseconds[:, 0] / self.count for name, milliseconds in times.items()}

    def read(self) -> None:
        """Read images, without other stages."""
        for _ in self._until_stopped(self._images.images()):
            pass

    def run_network(self) -> None:
        """Run the network, without other stages."""
        for image in self._until_stopped(cycle(self._buffered)):
            self._network(image.pixels, image.channel_order)

    def encode(self) -> None:
        """Encode images that were drawn before, without other stages."""
        with closing(AnnotatedVideo(self._folder / "encoded.mp4")) as video:
            for number, picture in enumerate(self._until_stopped(cycle(self._drawn))):
                video.add("", picture, number / 30)
            video.finish()

    def run_pipeline(self, output: AnnotatedOutput) -> None:
        """Read, detect, draw and write, like a run of `detect`."""
        self.memory_mib.clear()
        lines = count(1)

        def on_line(_: str) -> None:
            if next(lines) in (BUFFERED, self.count):
                self.memory_mib.append(ProcessUsage.of(os.getpid()).memory_mib)

        with (self._folder / "measured.jsonl").open("w", encoding="utf-8") as log, closing(output):
            run = DetectionRun(self._detectors, self._batch, log, output, on_line)
            run.run(islice(self._images.images(), self.count), self._stop)
            output.finish()

    def _until_stopped(self, items: Iterable[Item]) -> Iterator[Item]:
        return takewhile(lambda _: not self._stop.is_set(), islice(items, self.count))


def write_demo_video(path: Path, images: int) -> Path:
    """Write a video of this many images: the demo's tour of the sample photos, 1280x720."""
    tour = open_source("demo")
    pictures = islice(chain.from_iterable(tour.images() for _ in count()), images)
    with closing(AnnotatedVideo(path)) as video:
        for number, picture in enumerate(pictures):
            video.add("", picture.pixels, number / 30)
        video.finish()
    return path


def report(measurement: DetectMeasurement) -> str:
    """Run a measurement and return its table."""
    times = measurement.rounds()
    lines = [f"{measurement.count} images, {ROUNDS} interleaved rounds, {measurement.engine_name}"]
    lines.append(f"{'':<26}{'ms':>8}{'FPS':>8}   of the slowest stage alone: median, range")
    slowest = np.max([times[name] for name in SINGLE_STAGES], axis=0)
    for name, milliseconds in times.items():
        middle, ratios = np.median(milliseconds), milliseconds / slowest
        spread = f"{np.median(ratios):8.2f}   {ratios.min():.2f} to {ratios.max():.2f}"
        title = f"{name} alone" if name in SINGLE_STAGES else name
        lines.append(f"{title:<26}{middle:8.2f}{1e3 / middle:8.1f}{spread}")
    begin, end = measurement.memory_mib[0], measurement.memory_mib[-1]
    lines.append(f"memory: {begin:.0f} MiB after {BUFFERED} images of the last round, {end:.0f} MiB at its end")
    return "\n".join(lines)
