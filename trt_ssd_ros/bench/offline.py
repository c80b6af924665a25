"""Throughput of `detect` on a video: the whole run beside reading, the network and encoding alone, in turns."""

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
"""Name of a video that is made of our photos."""
ROUNDS = 5
KEPT = 40
"""Images in memory, which the stages that are measured alone use again and again."""
ALONE = ("reading", "network", "encoding")


class DetectMeasurement:
    """Stages of `detect` that are timed on one video.

    Args:
        detectors: Detectors that share the images.
        images: A video or a recording.
        batch: Most images in a call.
        images_a_round: Most images in a round.
        folder: Folder for the videos and results that a run writes.
        stop: Ends a stage when it is set.

    Attributes:
        engine_name: Name of the engine.
        count: Images in a round.
        memory_mib: Resident memory after KEPT images of the last whole run, and at its end.

    Raises:
        SourceError: The input is no video, or is too short.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        images: ImageSource,
        batch: int,
        images_a_round: int,
        folder: Path,
        stop: Event,
    ) -> None:
        if images.live or not images.is_video:
            raise SourceError("--video: found images or a camera, expected a video file or a recording")
        detector = detectors[0]
        self._detectors, self._images, self._batch, self._folder = detectors, images, batch, folder
        self._stop, self.engine_name = stop, detector.engine_name
        self._kept = [image for image in islice(images.images(), KEPT) if not image.problem]
        if len(self._kept) < KEPT:
            raise SourceError(f"--video: found {len(self._kept)} images, expected {KEPT} or more")
        found = [detector.detect(image.pixels, image.channel_order) for image in self._kept]
        self._drawn = [
            draw_detections(image.pixels, detections, detector.card.labels)
            for image, detections in zip(self._kept, found, strict=True)
        ]
        is_bare = detector.engine_kind == "onnxruntime"
        self._network = bare_network(detector) if is_bare else detector.detect
        self.count = max(KEPT, min(images_a_round, images.count or images_a_round))
        self.memory_mib: list[float] = []

    def tasks(self) -> Mapping[str, Callable[[], None]]:
        """Return the stages by name."""
        return {
            "reading": self.read,
            "network": self.run_network,
            "encoding": self.encode,
            "together, nothing drawn": lambda: self.run_all(NotAnnotated()),
            "together": lambda: self.run_all(AnnotatedVideo(self._folder / "measured.mp4")),
        }

    def rounds(self) -> Mapping[str, NDArray[np.float64]]:
        """Time all stages in turns; return the milliseconds (ROUNDS,) an image of each.

        Raises:
            KeyboardInterrupt: The measurement was stopped.
        """
        tasks = self.tasks()
        with progress(ROUNDS * len(tasks), " turns", self._stop) as done:
            times = time_rounds(tasks, ROUNDS, done=done)
        return {name: milliseconds[:, 0] / self.count for name, milliseconds in times.items()}

    def read(self) -> None:
        """Read alone."""
        for _ in self._until_stopped(self._images.images()):
            pass

    def run_network(self) -> None:
        """Run the graph alone."""
        for image in self._until_stopped(cycle(self._kept)):
            self._network(image.pixels, image.channel_order)

    def encode(self) -> None:
        """Encode alone what was drawn before."""
        with closing(AnnotatedVideo(self._folder / "encoded.mp4")) as video:
            for number, picture in enumerate(self._until_stopped(cycle(self._drawn))):
                video.add("", picture, number / 30)
            video.finish()

    def run_all(self, output: AnnotatedOutput) -> None:
        """Read, detect, draw and write, as a run does."""
        self.memory_mib.clear()
        lines = count(1)

        def told(_: str) -> None:
            if next(lines) in (KEPT, self.count):
                self.memory_mib.append(ProcessUsage.of(os.getpid()).memory_mib)

        with (self._folder / "measured.jsonl").open("w", encoding="utf-8") as log, closing(output):
            run = DetectionRun(self._detectors, self._batch, log, output, told)
            run.run(islice(self._images.images(), self.count), self._stop)
            output.finish()

    def _until_stopped(self, items: Iterable[Item]) -> Iterator[Item]:
        return takewhile(lambda _: not self._stop.is_set(), islice(items, self.count))


def write_tour(path: Path, images: int) -> Path:
    """Write a video of the demo's tour through our photos, 1280x720, as long as it is asked for."""
    tour = open_source("demo")
    pictures = islice(chain.from_iterable(tour.images() for _ in count()), images)
    with closing(AnnotatedVideo(path)) as video:
        for number, picture in enumerate(pictures):
            video.add("", picture.pixels, number / 30)
        video.finish()
    return path


def report(measurement: DetectMeasurement) -> str:
    """Measure, and return a table."""
    times = measurement.rounds()
    lines = [f"{measurement.count} images, {ROUNDS} rounds in turns, {measurement.engine_name}"]
    lines.append(f"{'':<26}{'ms':>8}{'FPS':>8}   of the slowest alone: median, least to most")
    slowest = np.max([times[name] for name in ALONE], axis=0)
    for name, milliseconds in times.items():
        middle, ratios = np.median(milliseconds), milliseconds / slowest
        spread = f"{np.median(ratios):8.2f}   {ratios.min():.2f} to {ratios.max():.2f}"
        said = f"{name} alone" if name in ALONE else name
        lines.append(f"{said:<26}{middle:8.2f}{1e3 / middle:8.1f}{spread}")
    begin, end = measurement.memory_mib[0], measurement.memory_mib[-1]
    lines.append(f"memory: {begin:.0f} MiB after {KEPT} images of the last round, {end:.0f} MiB at its end")
    return "\n".join(lines)
