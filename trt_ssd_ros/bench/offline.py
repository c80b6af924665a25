"""Measure detect on a video: all of it together, beside reading, the network and encoding alone, in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, count, cycle, islice, takewhile
from pathlib import Path
from statistics import median
from threading import Event
from typing import TypeVar

from tqdm import tqdm

from trt_ssd_ros.bench.process_usage import ProcessUsage
from trt_ssd_ros.detection.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.source import ImageSource, SourceError, SourceImage
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.tools.detect.annotated import AnnotatedOutput, AnnotatedVideo, NotAnnotated
from trt_ssd_ros.tools.detect.run import DetectionRun

Item = TypeVar("Item")

IMAGES = 100
ROUNDS = 5
KEPT = 40
"""Images that are held in memory, and used again and again, by what is measured alone."""
ALONE = ("reading", "network", "encoding")


class DetectMeasurement:
    """What is measured of one detector on one video.

    Args:
        detectors: As they were opened for the run.
        images: A video or a recording.
        batch: Most images detected in at once.
        images_a_round: As many, or as there are.
        folder: For what is written meanwhile.
        stop: Ends it.

    Attributes:
        memory_mib: Resident memory after KEPT images of the last run of everything, and at its end.

    Raises:
        SourceError: It is no video, or is too short.
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
            raise SourceError("--measure: found images or a camera, expected a video file or a recording")
        detector = detectors[0]
        self._detectors, self._images, self._batch, self._folder = detectors, images, batch, folder
        self._stop = stop
        self._kept = [image for image in islice(images.images(), KEPT) if not image.problem]
        if len(self._kept) < KEPT:
            raise SourceError(f"--measure: found {len(self._kept)} images, expected {KEPT} or more")
        found = [detector.detect(image.pixels, image.channel_order) for image in self._kept]
        self._drawn = [
            draw_detections(image.pixels, detections, detector.card.labels)
            for image, detections in zip(self._kept, found, strict=True)
        ]
        self._network = self._bare_network()
        self.count = max(KEPT, min(images_a_round, images.count or images_a_round))
        self.memory_mib: list[float] = []

    def rounds(self) -> list[dict[str, float]]:
        """Measure everything in turns; return the milliseconds for an image, round by round.

        Raises:
            KeyboardInterrupt: It was stopped.
        """
        tasks: dict[str, Callable[[], None]] = {
            "reading": self.read,
            "network": self.run_network,
            "encoding": self.encode,
            "together, nothing drawn": lambda: self.run_all(NotAnnotated()),
            "together": lambda: self.run_all(AnnotatedVideo(self._folder / "measured.mp4")),
        }
        turns = [(number, name) for number in range(ROUNDS) for name in tasks]
        times: list[dict[str, float]] = [{} for _ in range(ROUNDS)]
        for number, name in tqdm(turns, unit=" turns", disable=None):
            start = time.perf_counter()
            tasks[name]()
            times[number][name] = (time.perf_counter() - start) * 1e3 / self.count
            if self._stop.is_set():
                raise KeyboardInterrupt
        return times

    def read(self) -> None:
        """Read alone."""
        for _ in self._until_stopped(self._images.images()):
            pass

    def run_network(self) -> None:
        """Run the graph alone."""
        for image in self._until_stopped(cycle(self._kept)):
            self._network(image)

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

    def _bare_network(self) -> Callable[[SourceImage], object]:
        """Return the bare session where ONNX Runtime runs the graph, else the detector."""
        detector, card = self._detectors[0], self._detectors[0].card
        if detector.engine_kind != "onnxruntime":
            return lambda image: detector.detect(image.pixels, image.channel_order)
        session = open_session(compose(load_network(card), card))
        settings = detector.thresholds.tensors
        return lambda image: session.run(
            None,
            {"image": image.pixels[None], "channel_order": CHANNEL_ORDERS[image.channel_order], **settings},
        )


def write_tour(path: Path, images: int) -> Path:
    """Write a video of the demo's tour through our photos, 1280x720, as long as it is asked for."""
    tour = open_source("demo")
    pictures = islice(chain.from_iterable(tour.images() for _ in count()), images)
    with closing(AnnotatedVideo(path)) as video:
        for number, picture in enumerate(pictures):
            video.add("", picture.pixels, number / 30)
        video.finish()
    return path


def report(measurement: DetectMeasurement, name: str) -> str:
    """Measure, and return a table.

    Args:
        measurement: What is measured.
        name: Of the engine.
    """
    rounds = measurement.rounds()
    lines = [f"{measurement.count} images, {ROUNDS} rounds in turns, {name}"]
    lines.append(f"{'':<26}{'ms':>8}{'FPS':>8}   of the slowest alone: median, least to most")
    for task in rounds[0]:
        milliseconds = median(times[task] for times in rounds)
        ratios = [times[task] / max(times[other] for other in ALONE) for times in rounds]
        said = f"{task} alone" if task in ALONE else task
        spread = f"{median(ratios):8.2f}   {min(ratios):.2f} to {max(ratios):.2f}"
        lines.append(f"{said:<26}{milliseconds:8.2f}{1e3 / milliseconds:8.1f}{spread}")
    begin, end = measurement.memory_mib[0], measurement.memory_mib[-1]
    lines.append(f"memory: {begin:.0f} MiB after {KEPT} images of the last round, {end:.0f} MiB at its end")
    return "\n".join(lines)
