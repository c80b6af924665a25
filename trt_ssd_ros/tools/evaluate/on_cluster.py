"""`evaluate --ray`: the workers of a cluster detect in slices of the images; this process scores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.images.source import SourceError
from trt_ssd_ros.tools.cluster.needs import Needs, needs_of
from trt_ssd_ros.tools.cluster.work_queue import StoppedError, WorkQueue
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage
from trt_ssd_ros.tools.evaluate.evaluation import Observation, observe
from trt_ssd_ros.tools.evaluate.runs import DetectorRun, EvaluatedRun, LiveRun, detector_warnings


@dataclass(frozen=True)
class Slice:
    """Unit of an evaluation.

    Attributes:
        begin: Number of the first image.
        images: Images, without annotations, which the workers do not need.
    """

    begin: int
    images: tuple[AnnotatedImage, ...] = field(compare=False)

    def __str__(self) -> str:
        """Return the unit as text."""
        return f"{len(self.images)} images from {self.images[0].name} on"


@dataclass(frozen=True)
class SliceResult:
    """Result of a unit.

    Attributes:
        observations: Detections of each detector in each image.
        cut: Number of images by detector in which even the most candidates were too few.
    """

    observations: Sequence[Observation]
    cut: Sequence[int]


class ClusterRun:
    """Detector that the workers open; this process knows its figures only.

    Args:
        live: Detector of the command line.

    Attributes:
        name: Display name.
        labels: Class names, indexed by class id.
        live: Detector for the workers.
        description: Description by the workers.
        cut: Number of images in which even the most candidates were too few.
    """

    def __init__(self, live: LiveRun) -> None:
        self.name = live.name
        self.labels = live.card().labels
        self.live = live
        self.description = ""
        self.cut = 0

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """Do nothing: a live detector covers any image."""

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Refuse: the workers detect."""
        raise NotImplementedError("a run on a cluster has no detector in this process")

    def described(self) -> str:
        """Return model, engine, precision and resize."""
        return self.description

    def warnings(self) -> list[str]:
        """Return the warnings about its figures."""
        return detector_warnings(self.live.threshold, self.cut)

    def close(self) -> None:
        """Do nothing."""


class EvaluateWork:
    """Detectors of a worker.

    Args:
        live: Detectors to open.

    Attributes:
        settings: Descriptions of the detectors.
        done: Number of images in which they have detected.
    """

    def __init__(self, live: Sequence[LiveRun]) -> None:
        self._runs: list[DetectorRun] = [run.open(Event()) for run in live]
        self.settings = [run.described() for run in self._runs]
        self.done = 0

    def run(self, unit: Slice) -> SliceResult:
        """Detect in the images of a unit."""
        before = [run.cut for run in self._runs]
        found = []
        for _, observation in observe(unit.images, self._runs, Event()):
            found.append(observation)
            self.done += 1
        return SliceResult(found, [run.cut - old for run, old in zip(self._runs, before, strict=True)])


def observe_on_cluster(
    ray: Any,
    images: Sequence[AnnotatedImage],
    runs: Sequence[EvaluatedRun],
    length: int,
    timeout: float,
    stop: Event,
) -> Iterator[tuple[AnnotatedImage, Observation]]:
    """Yield the detections of all runs in each image, in order, until `stop` is set; see `observe`.

    Args:
        ray: The module, connected to a cluster.
        images: Images that all nodes can read under the same paths.
        runs: Runs to evaluate; the workers open those that are a `ClusterRun`.
        length: Number of images of a unit.
        timeout: Seconds without an image after which a worker counts as lost.
        stop: Event that ends the evaluation.

    Raises:
        RuntimeError: A worker fails or lacks an image, or the cluster is lost.
        ValueError: No run is a detector.
    """
    remote = [run for run in runs if isinstance(run, ClusterRun)]
    if not remote:
        raise ValueError("--ray: found results files only, expected a detector among the runs")
    needs = _needs(ray, [run.live for run in remote])
    open_work = partial(EvaluateWork, _fitting(remote, needs))
    with (
        WorkQueue[Slice, SliceResult](ray, open_work, needs, stop, timeout) as queue,
        suppress(StoppedError),
    ):
        for run, description in zip(remote, queue.await_settings(), strict=True):
            run.description = description
        for number, observation in enumerate(_in_order(queue, images, remote, length)):
            yield images[number], _with_results(observation, images[number], runs)


def _with_results(observation: Observation, image: AnnotatedImage, runs: Sequence[EvaluatedRun]) -> Observation:
    """Return an observation of the workers with the detections of the results files among the runs."""
    if observation.problem:
        _expect_unreadable(image, observation.problem)
        return observation
    remote, nothing = iter(observation.found), np.empty((0, 0, 3), np.uint8)
    found = [next(remote) if isinstance(run, ClusterRun) else run.detect(image, nothing) for run in runs]
    return replace(observation, found=found)


def _expect_unreadable(image: AnnotatedImage, problem: str) -> None:
    """Require that an image which a node could not read cannot be read here: else the report would lack it.

    Raises:
        RuntimeError: The image can be read here.
    """
    with suppress(SourceError):
        read_image_file(image.path)
        raise RuntimeError(
            f"--ray: a node cannot read {image.name}, and this machine can: {problem}: "
            "all nodes must have the same files under the same paths"
        )


def _needs(ray: Any, live: Sequence[LiveRun]) -> Needs:
    """Return the part of a node for all detectors together: a GPU if one of them needs it."""
    found = [needs_of(ray.nodes(), run.choice.backend, run.choice.cpu_threads) for run in live]
    return max(found, key=lambda needs: needs.gpus)


def _fitting(remote: Sequence[ClusterRun], needs: Needs) -> list[LiveRun]:
    """Return the detectors for the workers, with as many threads as a worker has cores."""
    if needs.gpus:
        return [run.live for run in remote]
    return [replace(run.live, choice=replace(run.live.choice, cpu_threads=needs.cores)) for run in remote]


def _in_order(
    queue: WorkQueue[Slice, SliceResult],
    images: Sequence[AnnotatedImage],
    remote: Sequence[ClusterRun],
    length: int,
) -> Iterator[Observation]:
    begins = range(0, len(images), length)
    queue.add(
        Slice(begin, tuple(replace(image, boxes=()) for image in images[begin : begin + length]))
        for begin in begins
    )
    finished: dict[int, SliceResult] = {}
    for begin in begins:
        while begin not in finished:
            finished.update((unit.begin, result) for unit, result in queue.step())
        result = finished.pop(begin)
        for run, cut in zip(remote, result.cut, strict=True):
            run.cut += cut
        yield from result.observations
