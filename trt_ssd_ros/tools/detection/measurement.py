"""Measure detect on a video: all of it together, beside reading, the network and encoding alone, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event

from trt_ssd_ros.core.detector import CHANNEL_ORDERS, Detector
from trt_ssd_ros.core.draw import draw_detections
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.image_source import SourceError
from trt_ssd_ros.core.network import load_network
from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.tools.detection.annotated_output import AnnotatedOutput, AnnotatedVideo, NotAnnotated
from trt_ssd_ros.tools.detection.detection_run import DetectionRun
from trt_ssd_ros.tools.detection.input_images import Input, InputImage

IMAGES = 50
ROUNDS = 10
KEPT = 40
"""Images that are held in memory, and used again and again, by what is measured alone."""
ALONE = ("reading", "network", "encoding")


class DetectMeasurement:
    """What is measured of one detector on one video.

    Args:
        detector: As it was opened for the run.
        images: A video or a recording.
        batch: Most images detected in at once.
        folder: For what is written meanwhile.

    Raises:
        SourceError: It is no video, or is too short.
    """

    def __init__(self, detector: Detector, images: Input, batch: int, folder: Path) -> None:
        if images.live or not images.is_video:
            raise SourceError("--measure: found images or a camera, expected a video file or a recording")
        self._detector, self._images, self._batch, self._folder = detector, images, batch, folder
        self._kept = [image for image in islice(images.images(), KEPT) if not image.problem]
        if len(self._kept) < KEPT:
            raise SourceError(f"--measure: found {len(self._kept)} images, expected {KEPT} or more")
        found = [detector.detect(image.pixels, image.channel_order) for image in self._kept]
        self._drawn = [
            draw_detections(image.pixels, detections, detector.card.labels)
            for image, detections in zip(self._kept, found, strict=True)
        ]
        self._network = self._bare_network()
        self.count = min(IMAGES, images.count or IMAGES)

    def rounds(self) -> list[dict[str, float]]:
        """Measure everything in turns; return the milliseconds for an image, round by round."""
        tasks: dict[str, Callable[[], None]] = {
            "reading": self.read,
            "network": self.run_network,
            "encoding": self.encode,
            "together, nothing drawn": lambda: self.run_all(NotAnnotated()),
            "together": lambda: self.run_all(AnnotatedVideo(self._folder / "measured.mp4")),
        }
        scale = 1e3 / self.count
        return [{name: _seconds(task) * scale for name, task in tasks.items()} for _ in range(ROUNDS)]

    def read(self) -> None:
        """Read alone."""
        for _ in islice(self._images.images(), self.count):
            pass

    def run_network(self) -> None:
        """Run the graph alone."""
        for image in self._cycled():
            self._network(image)

    def encode(self) -> None:
        """Encode alone what was drawn before."""
        with closing(AnnotatedVideo(self._folder / "encoded.mp4")) as video:
            for number, picture in enumerate(islice(cycle(self._drawn), self.count)):
                video.add("", picture, number / 30)
            video.finish()

    def run_all(self, output: AnnotatedOutput) -> None:
        """Read, detect, draw and write, as a run does."""
        with (self._folder / "measured.jsonl").open("w", encoding="utf-8") as log:
            run = DetectionRun(self._detector, self._batch, log, output, lambda _: None)
            run.run(islice(self._images.images(), self.count), Event())
        output.finish()

    def _cycled(self) -> Iterator[InputImage]:
        return islice(cycle(self._kept), self.count)

    def _bare_network(self) -> Callable[[InputImage], object]:
        """Return the bare session where ONNX Runtime runs the graph, else the detector."""
        detector, card = self._detector, self._detector.card
        if not detector.engine_name.startswith("ONNX Runtime"):
            return lambda image: detector.detect(image.pixels, image.channel_order)
        session = open_session(compose(load_network(card), card))
        settings = detector.thresholds.tensors
        return lambda image: session.run(
            None,
            {"image": image.pixels[None], "channel_order": CHANNEL_ORDERS[image.channel_order], **settings},
        )


def measure(detector: Detector, images: Input, batch: int) -> str:
    """Measure, and return a table.

    Raises:
        SourceError: The input is no video, or is too short.
    """
    with TemporaryDirectory() as folder:
        measurement = DetectMeasurement(detector, images, batch, Path(folder))
        rounds = measurement.rounds()
    lines = [f"{measurement.count} images, {ROUNDS} rounds in turns, {detector.engine_name}"]
    lines.append(f"{'':<26}{'ms':>8}{'FPS':>8}   of the slowest alone, medians")
    for name in rounds[0]:
        milliseconds = median(times[name] for times in rounds)
        ratio = median(times[name] / max(times[other] for other in ALONE) for times in rounds)
        said = f"{name} alone" if name in ALONE else name
        lines.append(f"{said:<26}{milliseconds:8.2f}{1e3 / milliseconds:8.1f}{ratio:8.2f}")
    return "\n".join(lines)


def _seconds(task: Callable[[], None]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start
