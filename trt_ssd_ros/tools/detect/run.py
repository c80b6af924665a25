"""DetectionRun: overlapped reading, detection, drawing and writing, with one or more detectors."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import Any, TextIO, TypeVar

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.detection.views import WHOLE, Views
from trt_ssd_ros.engines.backend import EngineChoice, open_detectors
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.errors import counted
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.images.source import SourceImage
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import batch_size, load_network
from trt_ssd_ros.models.shipped import sample_photos
from trt_ssd_ros.tools.detect.annotated import AnnotatedOutput
from trt_ssd_ros.tools.detect.tracks import SourceTracks
from trt_ssd_ros.tools.detect.writer import ResultWriter
from trt_ssd_ros.tools.overlap import BackgroundConsumer, prefetch
from trt_ssd_ros.tools.results import ImageResult, read_header, read_results, rounded

Result = TypeVar("Result")


class DetectorPool:
    """Pool that passes each task to a free detector.

    Several detectors run in worker threads. A single detector runs in the calling thread, because an engine on a
    GPU belongs to the thread that opened it: there, a task is completed after the next ones are started.

    Args:
        detectors: Detectors with equal settings.
        in_flight: Most tasks that a single detector has started and not completed.
    """

    def __init__(self, detectors: Sequence[Detector], in_flight: int = 1) -> None:
        self.size = len(detectors)
        self._first = detectors[0]
        self._in_flight = in_flight
        self._started: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._free: SimpleQueue[Detector] = SimpleQueue()
        for detector in detectors:
            self._free.put(detector)
        self._threads = ThreadPoolExecutor(self.size)
        self._busy: set[Future[Any]] = set()

    def __enter__(self) -> DetectorPool:
        """Return the pool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all tasks are done."""
        self._complete(0)
        self._threads.shutdown()

    def submit(self, start: Callable[[Detector], Callable[[], Result]]) -> Callable[[], Result]:
        """Start a task, and return once a detector is free for the next task.

        Args:
            start: Function that starts the task on a detector, and returns a function that completes it.

        Returns:
            Function that waits for the task and returns its result, or raises its error.
        """
        if self.size == 1:
            return self._start_here(start)
        future = self._threads.submit(self._run_on_free, start)
        self._busy.add(future)
        if len(self._busy) == self.size:
            _, self._busy = wait(self._busy, return_when=FIRST_COMPLETED)
        return future.result

    def _start_here(self, start: Callable[[Detector], Callable[[], Result]]) -> Callable[[], Result]:
        future: Future[Result] = Future()
        try:
            self._started.append((future, start(self._first)))
        except Exception as error:
            future.set_exception(error)
        self._complete(self._in_flight - 1)
        return future.result

    def _complete(self, most: int) -> None:
        """Complete the oldest tasks until at most `most` are in flight, in the calling thread."""
        while len(self._started) > most:
            future, finish = self._started.popleft()
            try:
                future.set_result(finish())
            except BaseException as error:
                future.set_exception(error)  # else the thread that waits for the result would wait for ever
                if not isinstance(error, Exception):
                    for waiting, _ in self._started:
                        waiting.cancel()
                    self._started.clear()
                    raise

    def _run_on_free(self, start: Callable[[Detector], Callable[[], Result]]) -> Result:
        detector = self._free.get()
        try:
            return start(detector)()
        finally:
            self._free.put(detector)


@contextmanager
def opened_detectors(
    card: ModelCard, choice: EngineChoice, threshold: float | None, stop: Event, views: int = 1
) -> Iterator[list[Detector]]:
    """Yield the detectors of a card that share the images of a run.

    Args:
        card: Model card.
        choice: Engine to run, with its batch size in images.
        threshold: Lowest reported score; None: the thresholds of the card.
        stop: Event that cancels the build of a plan.
        views: Number of views of an image.

    Raises:
        ValueError: The network takes one image at a time, and the batch is larger.
    """
    if choice.build.batch > 1 and batch_size(load_network(card), card) == 1:
        raise ValueError(f"--batch: found {choice.build.batch}, expected 1: {card.name} takes one image at a time")
    with LoggedProgress(stop.is_set) as progress:
        batches = choice.for_views(views, choice.build.batch)
        detectors = open_detectors(card, batches, sample_photos(), progress)
    try:
        if threshold is not None:
            for detector in detectors:
                detector.thresholds = Thresholds.uniform(card, threshold)
        yield detectors
    finally:
        for detector in detectors:
            detector.close()


DEPTH = 3
"""Batches queued between two stages."""
Detected = tuple[list[ImageResult], float]
"""Results of a batch, and the seconds of detection."""


@dataclass
class Stopwatch:
    """Total busy time of a stage, in seconds."""

    seconds: float = 0.0

    def timed(self, items: Iterable[list[SourceImage]]) -> Iterator[list[SourceImage]]:
        """Yield items, and add the time to produce each one."""
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
    """Number of images and time of each stage.

    Attributes:
        images: Number of images that detectors processed.
        seconds: Seconds from the first read to the last write; the stages overlap.
        reading: Busy time of reading.
        detecting: Mean busy time of the detectors.
        writing: Busy time of tracking, drawing and writing.
    """

    images: int = 0
    seconds: float = 0.0
    reading: Stopwatch = field(default_factory=Stopwatch)
    detecting: Stopwatch = field(default_factory=Stopwatch)
    writing: Stopwatch = field(default_factory=Stopwatch)


class DetectionRun:
    """Pipeline that reads images, detects, tracks, draws and writes.

    Args:
        detectors: Detectors with equal settings, which run in parallel; see `DetectorPool`.
        batch: Largest number of images per inference call. Batches end at multiples of it, so that a resumed run
            has the same batches.
        log: Results file, which gets a line of JSON per image after the annotated image is written.
        output: Output for annotated images.
        on_line: Callback for each line written to `log`.
        views: Parts of the images that the detectors see.
        tracks: Trackers of the sources; None: no tracking.

    Attributes:
        times: Number of images and time of each stage.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        batch: int,
        log: TextIO,
        output: AnnotatedOutput,
        on_line: Callable[[str], None],
        views: Views = WHOLE,
        tracks: SourceTracks | None = None,
    ) -> None:
        self._views = views
        self.times = RunTimes()
        self._detectors = detectors
        self._batch = batch
        card = detectors[0].card
        self._writer = ResultWriter(card.labels, card.first_class_id, log, output, on_line, views, tracks)

    def run(
        self, images: Iterable[SourceImage], stop: Event, known: Iterable[ImageResult] = (), live: bool = False
    ) -> None:
        """Process images until they end, or until `stop` is set and the started batches are done.

        Args:
            images: Images, read in a background thread.
            stop: Event that ends the run.
            known: Results of the first images, from an earlier run; these images are only drawn.
            live: Drop the oldest queued images for newer ones.
        """
        start, found = time.perf_counter(), iter(known)
        images = (_checked(image, self._views) for image in images)
        groups = prefetch(self.times.reading.timed(_groups(images, self._batch)), DEPTH, stop, newest=live)
        detectors, depth = self._detectors, DEPTH + len(self._detectors)
        in_flight = 1 if live else detectors[0].in_flight  # a camera's next image may be late
        with (
            closing(groups),
            BackgroundConsumer(self._write, depth) as writer,
            DetectorPool(detectors, in_flight) as pool,  # ends first: the writer waits for its tasks
        ):
            for group in groups:
                old = list(islice(found, len(group)))
                new = None if old else pool.submit(partial(_start, group, self._views))
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
        if detected is not None:
            results = [self._writer.tracked(result) for result in results]
        for image, result in zip(group, results, strict=True):
            self._writer.draw(image, result)
            if detected is not None:
                self._writer.write(result)
        self.times.writing.seconds += time.perf_counter() - start


def _groups(images: Iterable[SourceImage], size: int) -> Iterator[list[SourceImage]]:
    """Group images into batches that end at multiples of `size`."""
    for _, group in groupby(images, lambda image: image.index // size):
        yield list(group)


def _result(image: SourceImage, detections: Detections) -> ImageResult:
    height, width = image.size
    return ImageResult(image.index, image.name, width, height, image.seconds, rounded(detections), image.problem)


def _checked(image: SourceImage, views: Views) -> SourceImage:
    """Return an image, with a problem if a view lies outside it."""
    height, width = image.size
    try:
        if not image.problem:
            views.windows(width, height)
    except ValueError as error:
        return SourceImage.unreadable(image.index, image.name, error)
    return image


def _start(group: list[SourceImage], views: Views, detector: Detector) -> Callable[[], Detected]:
    """Start to detect in a batch, one call per channel order; return a function that completes it."""
    begin = time.perf_counter()
    parts: list[tuple[list[SourceImage], Callable[[], list[Detections]]]] = []
    for (order, problem), alike in groupby(group, lambda image: (image.channel_order, image.problem)):
        images = list(alike)
        if problem:
            parts.append((images, partial(list, [Detections.empty()] * len(images))))
        elif not views.is_whole_image:
            frames = [(Frame(image.pixels, order), views) for image in images]
            parts.append((images, partial(list, detector.detect_frames(frames))))
        else:
            pixels, sizes = [image.pixels for image in images], [image.size for image in images]
            parts.append((images, detector.start_batch(pixels, order, sizes)))
    seconds = time.perf_counter() - begin

    def complete() -> Detected:
        begin = time.perf_counter()
        results = [
            _result(image, detections)
            for images, found in parts
            for image, detections in zip(images, found(), strict=True)
        ]
        return results, seconds + time.perf_counter() - begin

    return complete


COMPLETE_SHARE = 0.98
"""Share of the announced images below which an input counts as cut short: some videos estimate their length."""


def summary(log: Path, times: RunTimes, announced: int | None = None) -> tuple[bool, str]:
    """Return whether no image could be read, and the summary to print.

    Args:
        log: Results file.
        times: Number of images and time of each stage.
        announced: Number of images that the input announces; None if only a part was to be read.
    """
    labels, images, unreadable, last = Counter[str](), 0, 0, -1
    names = read_header(log).labels
    for result in read_results(log):
        images, last = images + 1, result.index
        unreadable += bool(result.unreadable)
        labels.update(names[class_id] for class_id in result.detections.class_ids)
    found = ", ".join(f"{count} {label}" for label, count in labels.most_common()) or "nothing"
    lines = [f"{counted(images, 'image')}, {unreadable} of them unreadable; found: {found}"]
    if last >= images:
        lines.append(f"{counted(last + 1 - images, 'camera image')} dropped for newer ones")
    if announced and images < announced * COMPLETE_SHARE:
        lines.append(f"read {counted(images, 'image')}, expected {announced}: the input may be cut short")
    if times.images:
        lines.append(
            f"{times.images / times.seconds:.1f} FPS including reading and writing, "
            f"{times.images / times.detecting.seconds:.1f} FPS for detection alone ("
            f"{times.detecting.seconds * 1e3 / times.images:.1f} ms per image)"
        )
    return images == unreadable, "\n".join(lines)
