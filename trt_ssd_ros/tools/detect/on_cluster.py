"""`detect --ray`: the workers of a cluster detect in slices of the inputs; this process merges, tracks and draws.

The results are those of one machine, byte for byte: batches end at the same images, and the results are numbered,
tracked and written here, in the order of the images. Finished units stay in files until all of them are merged.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from threading import Event
from typing import NoReturn

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.errors import counted
from trt_ssd_ros.images.source import Capture, ImageSource, SourceImage
from trt_ssd_ros.tools.cluster.connection import connected
from trt_ssd_ros.tools.cluster.needs import Needs, needs_of
from trt_ssd_ros.tools.cluster.work_queue import StoppedError, WorkQueue
from trt_ssd_ros.tools.detect.annotated import AnnotatedOutput, NotAnnotated, open_output
from trt_ssd_ros.tools.detect.folder import LOG_NAME, UNITS
from trt_ssd_ros.tools.detect.run import DEPTH, DetectionRun
from trt_ssd_ros.tools.detect.settings import RunSettings, begin_results, new_tracks, prepared_detectors
from trt_ssd_ros.tools.detect.several import SeveralSources, in_turns, labelled_sources, open_inputs
from trt_ssd_ros.tools.detect.tracks import source_of
from trt_ssd_ros.tools.detect.units import Unit, UnitFiles, delete_units
from trt_ssd_ros.tools.detect.writer import ResultWriter
from trt_ssd_ros.tools.overlap import prefetch
from trt_ssd_ros.tools.results import ImageResult, ResultError, read_results
from trt_ssd_ros.tools.view_options import views_of


@dataclass(frozen=True)
class Source:
    """Source whose slices are units.

    Attributes:
        label: Label in the names of the images; empty for the only source.
        names: Names of the inputs.
        topics: Image topics of the recordings.
        count: Number of images if known before reading; some videos estimate it.
    """

    label: str
    names: tuple[str, ...]
    topics: tuple[str, ...]
    count: int | None


@dataclass(frozen=True)
class Order:
    """What the workers of a run have to know.

    Attributes:
        options: Command line of `detect`, with as many threads as a worker has cores.
        sources: Sources of the run.
        exclude: Folders whose images are skipped, because they were made from the others.
        is_video: Whether the images follow each other in time.
    """

    options: argparse.Namespace
    sources: tuple[Source, ...]
    exclude: tuple[Path, ...]
    is_video: bool


def order_of(options: argparse.Namespace, images: ImageSource, exclude: Collection[Path], needs: Needs) -> Order:
    """Return the order for the workers of a run.

    Each of several sources is read alone, unless their images share batches.

    Args:
        options: Command line of `detect`.
        images: Opened inputs.
        exclude: Folders whose images are skipped.
        needs: Part of a node that a worker takes.
    """
    fitting = argparse.Namespace(**vars(options))
    fitting.cpu_threads = options.cpu_threads if needs.gpus else needs.cores
    topics = tuple(options.topic)
    if isinstance(images, SeveralSources) and options.batch == 1:
        parts = labelled_sources(options.inputs, topics).items()
        sources = [
            Source(label, (name,), (topic,) if topic else (), count)
            for (label, (name, topic)), count in zip(parts, images.counts, strict=True)
        ]
    else:
        sources = [Source("", tuple(options.inputs), topics, images.count)]
    return Order(fitting, tuple(sources), tuple(exclude), images.is_video)


class DetectWork:
    """Engine of a worker, and the source that it reads. A unit behind the last one continues to read.

    Args:
        order: Inputs and settings of the run.

    Attributes:
        settings: Settings of the run, see `RunSettings`.
        done: Number of images that are read over or detected in.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self.done = 0
        self._open_until_the_end = ExitStack()
        opened = prepared_detectors(order.options, order.is_video, Event())
        self._detectors, self.settings = self._open_until_the_end.enter_context(opened)
        self._views = views_of(order.options)
        self._source: ImageSource | None = None
        self._number = -1
        self._captures: Iterator[Capture] = iter(())
        self._at = 0

    def run(self, unit: Unit) -> str:
        """Return the lines of the results of a unit, as in a results file, indexed in the source."""
        lines = io.StringIO()
        task = DetectionRun(
            self._detectors, self._order.options.batch, lines, NotAnnotated(), self._count, self._views
        )
        try:
            task.run(self._images(unit), Event())
        except BaseException:
            self._close()  # its position is unknown
            raise
        return lines.getvalue()

    def _images(self, unit: Unit) -> Iterator[SourceImage]:
        if self._number != unit.source or unit.begin < self._at:
            self._open(unit.source)
        for _ in islice(self._captures, unit.begin - self._at):
            self.done += 1  # these images are not decoded
        self._at = unit.end
        for capture in islice(self._captures, unit.end - unit.begin):
            yield capture()

    def _count(self, _: str) -> None:
        self.done += 1

    def _open(self, number: int) -> None:
        self._close()
        source = self._order.sources[number]
        self._source = open_inputs(source.names, source.topics, self._order.exclude, Event())
        if self.settings.least is not None:
            self._source.allow_reduced(*self.settings.least)
        self._number, self._at, self._captures = number, 0, self._source.captures()

    def _close(self) -> None:
        self._number = -1
        if self._source is not None:
            self._source.close()
            self._source = None


def _ignore(_: str) -> None:
    """Ignore a line."""


class UnitResults:
    """Results of the sources in the order of their images, from units that the queue finishes.

    Args:
        queue: Queue of the units.
        files: Finished units.
        order: Inputs of the run.
        first: Number of images of each source that need no unit any more.
        most: Largest number of images of a source; None: all.
        on_unit: Callback with the number of images of each finished unit.
    """

    def __init__(
        self,
        queue: WorkQueue[Unit, str],
        files: UnitFiles,
        order: Order,
        first: Sequence[int],
        most: int | None,
        on_unit: Callable[[int], None],
    ) -> None:
        self._queue = queue
        self._files = files
        self._first = first
        self._most = sys.maxsize if most is None else most
        self._on_unit = on_unit
        batch = order.options.batch
        self._slice = -(-order.options.ray_slice // batch) * batch
        self._planned = {
            unit
            for number, source in enumerate(order.sources)
            for unit in self._units(number, first[number], source.count or 1)
        }
        queue.add(sorted(self._planned))

    def _units(self, source: int, begin: int, end: int) -> Iterator[Unit]:
        """Yield the units of a source that are not finished."""
        while begin < min(end, self._most):
            unit = self._unit(source, begin)
            if self._files.covering(source, begin) is None:
                yield unit
            begin = unit.end

    def _unit(self, source: int, index: int) -> Unit:
        """Return the unit that includes an image: a finished one, or up to the end of a slice."""
        end = min((index // self._slice + 1) * self._slice, self._most)
        return self._files.covering(source, index) or Unit(index, source, end)

    def merged(self) -> Iterator[tuple[int, ImageResult | None]]:
        """Yield the source and the result of each image in order; None for each image that needs no unit.

        Raises:
            RuntimeError, StoppedError: See `WorkQueue.step`.
        """
        return in_turns(
            deque(
                chain(repeat((number, None), first), zip(repeat(number), self._results(number, first)))
                for number, first in enumerate(self._first)
            )
        )

    def _results(self, source: int, index: int) -> Iterator[ImageResult]:
        while index < self._most:
            unit = self._unit(source, index)
            self._finish(unit)
            results = list(self._files.read(unit))
            yield from results[index - unit.begin :]
            if len(results) < unit.end - unit.begin:
                return
            index = unit.end

    def _finish(self, unit: Unit) -> None:
        """Wait until a unit is finished."""
        self._plan(unit, self._queue.add_first)
        while self._files.covering(unit.source, unit.begin) is None:
            for done, lines in self._queue.step():
                self._store(done, lines)

    def _plan(self, unit: Unit, add: Callable[[Unit], None]) -> None:
        if unit not in self._planned and self._files.covering(unit.source, unit.begin) is None:
            self._planned.add(unit)
            add(unit)

    def _store(self, unit: Unit, lines: str) -> None:
        """Keep the results of a unit; a full one of a source of unknown length is followed by another."""
        self._files.add(unit, lines)
        images = lines.count("\n")
        self._on_unit(images)
        if images == unit.end - unit.begin and unit.end < self._most:
            self._plan(self._unit(unit.source, unit.end), self._queue.add_first)


def detect_on_cluster(
    options: argparse.Namespace, images: ImageSource, exclude: Collection[Path], stop: Event
) -> None:
    """Detect on a cluster, and write results and annotated images; see `DetectionRun` for one machine.

    Args:
        options: Command line of `detect`.
        images: Opened inputs; only images that must be drawn are read here.
        exclude: Folders whose images are skipped.
        stop: Event that ends the run; finished units stay for `--resume`.

    Raises:
        KeyboardInterrupt: The event is set before a worker is ready.
        ResultError: The results to resume have other settings or images, or a node has other images.
        RuntimeError: The cluster is missing or lost, or a worker fails.
    """
    on_line = partial(print, file=sys.stdout, flush=True) if options.json else _ignore
    with connected(options.ray) as ray, closing(open_output(options.draw, options.output, images)) as output:
        needs = needs_of(ray.nodes(), options.backend, options.cpu_threads)
        order = order_of(options, images, exclude, needs)
        with WorkQueue[Unit, str](ray, partial(DetectWork, order), needs, stop, options.ray_timeout) as queue:
            try:
                settings: RunSettings = queue.await_settings()
            except StoppedError:
                raise KeyboardInterrupt from None
            done = begin_results(options, settings, images)
            with suppress(StoppedError):
                _merge(options, order, images.names, settings, done, queue, on_line)
        _draw(options, images, settings, output, stop)


def _merge(
    options: argparse.Namespace,
    order: Order,
    names: Sequence[str],
    settings: RunSettings,
    done: int,
    queue: WorkQueue[Unit, str],
    on_line: Callable[[str], None],
) -> None:
    """Append the results of all units to the results file, which has `done` images.

    Raises:
        ResultError: A node has other images. No unit stays, because a resumed run would take the wrong ones again.
    """
    log, header = options.output / LOG_NAME, settings.header
    if not options.resume:
        delete_units(options.output / UNITS)
    files = UnitFiles(options.output / UNITS, header)
    tracks = new_tracks(settings, live=False)
    if tracks is not None:
        tracks.replay(islice(read_results(log), done))
    first, total = _first_images(log, order, done), sum(source.count or 0 for source in order.sources)
    bar = tqdm(total=total or None, initial=done, unit=" images", disable=None)
    with log.open("a", encoding="utf-8") as file, logging_redirect_tqdm(), bar:
        writer = ResultWriter(header.labels, header.first_class_id, file, NotAnnotated(), on_line, tracks=tracks)
        on_unit = partial(_report, bar, queue)
        merged = UnitResults(queue, files, order, first, options.max_images, on_unit).merged()
        try:
            _write(writer, merged, order, names, options.max_images)
        except ResultError:
            delete_units(options.output / UNITS)
            raise
    delete_units(options.output / UNITS)


def _write(
    writer: ResultWriter,
    merged: Iterator[tuple[int, ImageResult | None]],
    order: Order,
    names: Sequence[str],
    most: int | None,
) -> None:
    """Write merged results, at most those of the first `most` images; see `_expect_name`."""
    images = 0
    for index, (source, result) in enumerate(islice(merged, most)):
        images += 1
        if result is not None:
            whole = _in_run(result, index, order.sources[source].label)
            _expect_name(whole.name, index, names)
            writer.write(writer.tracked(whole))
    if images != most:
        _expect_name("nothing", images, names)


def _first_images(log: Path, order: Order, done: int) -> list[int]:
    """Return the number of images of each source that the results file has."""
    if len(order.sources) == 1:
        return [done]
    counts = Counter(source_of(result.name) for result in islice(read_results(log), done))
    return [counts[source.label] for source in order.sources]


def _in_run(result: ImageResult, index: int, label: str) -> ImageResult:
    """Return a result of a source with its index and name in the run."""
    return replace(result, index=index, name=f"{label}/{result.name}" if label else result.name)


def _expect_name(name: str, index: int, names: Sequence[str]) -> None:
    """Require that a worker has read the image that is here at this place.

    Args:
        name: Name of the image; "nothing" behind the last one.
        index: Index of the image in the run.
        names: Names of the images here; empty if they are unknown.

    Raises:
        ResultError: The image has another name.
    """
    expected = names[index] if index < len(names) else "nothing"
    if names and name != expected:
        raise ResultError(
            f"--ray: a node found {name} as image {index}, expected {expected}: "
            "all nodes must have the same files under the same paths"
        )


def _report(bar: tqdm[NoReturn], queue: WorkQueue[Unit, str], images: int) -> None:
    """Advance the progress bar by the images of a unit."""
    bar.set_postfix_str(counted(queue.ready, "worker"), refresh=False)
    bar.update(images)


def _draw(
    options: argparse.Namespace,
    images: ImageSource,
    settings: RunSettings,
    output: AnnotatedOutput,
    stop: Event,
) -> None:
    """Read the images again, and draw the results that are not drawn yet."""
    header, log = settings.header, options.output / LOG_NAME
    if not output.wanted or all(output.contains(result.name) for result in read_results(log)):
        return
    total = images.count if options.max_images is None else options.max_images
    bar = tqdm(desc="drawing", total=total, unit=" images", disable=None)
    with log.open("a", encoding="utf-8") as file, closing(prefetch(images.images(), DEPTH, stop)) as ahead, bar:
        writer = ResultWriter(header.labels, header.first_class_id, file, output, _ignore, views_of(options))
        for result, image in zip(read_results(log), ahead, strict=False):
            if not result.unreadable and not output.contains(result.name):
                writer.draw(image, result)
            bar.update()
    output.finish()
