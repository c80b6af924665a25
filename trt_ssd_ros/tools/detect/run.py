"""DetectionRun: reads, detects, draws and writes at the same time, with one detector or several."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import Any, TextIO, TypeVar

import numpy as np

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.engines.backend import EngineChoice, open_detectors
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.images.source import SourceImage
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import batch_size, load_network
from trt_ssd_ros.models.shipped import sample_photos
from trt_ssd_ros.tools.detect.annotated import AnnotatedOutput
from trt_ssd_ros.tools.overlap import Behind, ahead
from trt_ssd_ros.tools.results import ImageResult, as_written, read_header, read_results

Result = TypeVar("Result")


class DetectorPool:
    """Gives each piece of work to a detector that is free.

    Several detectors work in threads of their own. A single one works in the thread of whoever asks: an engine on
    a GPU belongs to the thread that opened it.

    Args:
        detectors: All alike.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.size = len(detectors)
        self._first = detectors[0]
        self._free: SimpleQueue[Detector] = SimpleQueue()
        for detector in detectors:
            self._free.put(detector)
        self._threads = ThreadPoolExecutor(self.size)
        self._busy: set[Future[Any]] = set()

    def __enter__(self) -> DetectorPool:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all work is done."""
        self._threads.shutdown()

    def submit(self, work: Callable[[Detector], Result]) -> Callable[[], Result]:
        """Begin a piece of work, and return when a detector is free for the next one.

        Returns:
            Waits for the result of this work and returns it, or raises what it raised.
        """
        if self.size == 1:
            result = work(self._first)
            return lambda: result
        future = self._threads.submit(self._with_a_free_one, work)
        self._busy.add(future)
        if len(self._busy) == self.size:
            _, self._busy = wait(self._busy, return_when=FIRST_COMPLETED)
        return future.result

    def _with_a_free_one(self, work: Callable[[Detector], Result]) -> Result:
        detector = self._free.get()
        try:
            return work(detector)
        finally:
            self._free.put(detector)


@contextmanager
def opened_detectors(
    card: ModelCard, choice: EngineChoice, threshold: float | None, stop: Event
) -> Iterator[list[Detector]]:
    """Give the detectors of a card that share the images of a run.

    Args:
        card: Model card.
        choice: Engine to run, with the batch to build it for.
        threshold: Lowest score that is reported; None: the card's.
        stop: Cancels the build of a plan when it is set.

    Raises:
        ValueError: The network takes one image at a time, and the batch is larger.
    """
    if choice.build.batch > 1 and batch_size(load_network(card), card) == 1:
        raise ValueError(f"--batch: found {choice.build.batch}, expected 1: {card.name} takes one image at a time")
    with LoggedProgress(stop.is_set) as progress:
        detectors = open_detectors(card, choice, sample_photos(), progress)
    try:
        if threshold is not None:
            classes = (threshold,) * len(card.labels)
            for detector in detectors:
                detector.thresholds = replace(detector.thresholds, classes=classes)
        yield detectors
    finally:
        for detector in detectors:
            detector.close()


LOGGER = logging.getLogger(__name__)
DEPTH = 3
"""Groups of images that wait between two stages."""
Detected = tuple[list[ImageResult], float]
"""Results of a group, and the seconds that they took."""


@dataclass
class Stopwatch:
    """Adds up the time in which a stage was at work."""

    seconds: float = 0.0

    def timed(self, items: Iterable[list[SourceImage]]) -> Iterator[list[SourceImage]]:
        """Go through items, and add up how long each took to come."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            item = next(iterator, None)
            self.seconds += time.perf_counter() - start
            if item is None:
                return
            yield item


@dataclass
class RunTimes:
    """Number of images, and the time that each stage took.

    Attributes:
        images: Images detected in.
        seconds: From the first read to the last written.
        reading: Seconds in which images were read; the stages overlap.
        detecting: Seconds in which images were detected in.
        writing: Seconds in which images were drawn and written.
    """

    images: int = 0
    seconds: float = 0.0
    reading: Stopwatch = field(default_factory=Stopwatch)
    detecting: Stopwatch = field(default_factory=Stopwatch)
    writing: Stopwatch = field(default_factory=Stopwatch)


class DetectionRun:
    """A detector and where its results go.

    Args:
        detectors: Alike; they work at the same time, see `DetectorPool`.
        batch: Most images detected in at once. Groups end at multiples of it, so that a run that goes on from such
            a multiple has the same groups.
        log: Takes a line of JSON for each image, after the annotated image was written.
        output: Takes the annotated images.
        told: Called with each line that goes into the log.

    Attributes:
        times: How long it took.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        batch: int,
        log: TextIO,
        output: AnnotatedOutput,
        told: Callable[[str], None],
    ) -> None:
        self.times = RunTimes()
        self._detectors = detectors
        self._labels = detectors[0].card.labels
        self._batch = batch
        self._log = log
        self._output = output
        self._told = told

    def run(
        self, images: Iterable[SourceImage], stop: Event, known: Iterable[ImageResult] = (), live: bool = False
    ) -> None:
        """Go through the images until they end, or `stop` is set and what is in hand is done.

        Args:
            images: The images, read in a thread of their own.
            stop: Set from outside.
            known: Results of the first of them, from an earlier run; these images are only drawn.
            live: Whether older images that wait give way to newer ones.
        """
        start, found = time.perf_counter(), iter(known)
        groups = ahead(self.times.reading.timed(_groups(images, self._batch)), DEPTH, stop, newest=live)
        depth = DEPTH + len(self._detectors)
        with closing(groups), DetectorPool(self._detectors) as pool, Behind(self._write, depth) as writer:
            for group in groups:
                old = list(islice(found, len(group)))
                new = None if old else pool.submit(partial(_detected, group))
                writer.put((group, old, new))
        self.times.seconds = time.perf_counter() - start
        self.times.detecting.seconds /= len(self._detectors)

    def _write(self, item: tuple[list[SourceImage], list[ImageResult], Callable[[], Detected] | None]) -> None:
        group, results, detected = item
        if detected is not None:
            results, seconds = detected()
            self.times.detecting.seconds += seconds
            self.times.images += sum(not image.problem for image in group)
        start = time.perf_counter()
        for image, result in zip(group, results, strict=True):
            if self._output.wanted and not image.problem:
                self._draw(image, result)
            if detected is not None:
                self._note(result)
        self.times.writing.seconds += time.perf_counter() - start

    def _draw(self, image: SourceImage, result: ImageResult) -> None:
        pixels = image.pixels if image.channel_order == "bgr" else np.ascontiguousarray(image.pixels[..., ::-1])
        picture = draw_detections(pixels, result.detections, self._labels)
        self._output.add(image.name, picture, image.seconds)

    def _note(self, result: ImageResult) -> None:
        if result.unreadable:
            LOGGER.warning("passed over %s: %s", result.name, result.unreadable)
        line = result.line(self._labels)
        self._log.write(line + "\n")
        self._log.flush()
        self._told(line)


def _groups(images: Iterable[SourceImage], size: int) -> Iterator[list[SourceImage]]:
    """Put images together whose numbers lie between two multiples of `size`."""
    for _, group in groupby(images, lambda image: image.index // size):
        yield list(group)


def _result(image: SourceImage, detections: Detections) -> ImageResult:
    height, width = image.pixels.shape[:2]
    return ImageResult(
        image.index, image.name, width, height, image.seconds, as_written(detections), image.problem
    )


def _detected(group: list[SourceImage], detector: Detector) -> Detected:
    """Detect in images, those of one size and order at once; return what was found, and the seconds it took."""
    start = time.perf_counter()
    results = []
    for shape, alike in groupby(group, lambda image: (image.pixels.shape, image.channel_order)):
        images = list(alike)
        found = _found(images, detector) if 0 not in shape[0] else [Detections.empty()] * len(images)
        results += [_result(image, detections) for image, detections in zip(images, found, strict=True)]
    return results, time.perf_counter() - start


def _found(images: list[SourceImage], detector: Detector) -> list[Detections]:
    pixels = images[0].pixels[None] if len(images) == 1 else np.stack([image.pixels for image in images])
    return detector.detect_batch(pixels, images[0].channel_order)


CLAIMS = 0.98
"""Some videos only estimate how many images they have."""


def summary(log: Path, times: RunTimes, claimed: int | None = None) -> tuple[bool, str]:
    """Return whether nothing at all could be read, and what there is to say.

    Args:
        log: The results.
        times: How long it took.
        claimed: Images that the input was said to have, if all of it was to be read.
    """
    labels, images, unreadable, last = Counter[str](), 0, 0, -1
    names = read_header(log).labels
    for result in read_results(log):
        images, last = images + 1, result.index
        unreadable += bool(result.unreadable)
        labels.update(names[class_id] for class_id in result.detections.class_ids)
    found = ", ".join(f"{count} {label}" for label, count in labels.most_common()) or "nothing"
    lines = [f"{images} images, {unreadable} of them unreadable; found: {found}"]
    if last >= images:
        lines.append(f"{last + 1 - images} images of the camera gave way to newer ones")
    if claimed and images < claimed * CLAIMS:
        lines.append(f"only {images} of the {claimed} images that the input claims to have: is it cut short?")
    if times.images:
        lines.append(
            f"{times.images / times.seconds:.1f} FPS with reading and writing, "
            f"{times.images / times.detecting.seconds:.1f} FPS without (detection alone, "
            f"{times.detecting.seconds * 1e3 / times.images:.1f} ms an image)"
        )
    return images == unreadable, "\n".join(lines)
