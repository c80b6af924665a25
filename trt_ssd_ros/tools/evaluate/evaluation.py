"""Evaluation: every run on every image, scored against the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event

from tqdm import tqdm

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.images.source import Image, SourceError
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage, AnnotatedSet, check_labels
from trt_ssd_ros.tools.evaluate.average_precision import GroundTruth, Precision, average_precision
from trt_ssd_ros.tools.evaluate.confusion import ConfusionMatrix, ImageChange, change, mistakes
from trt_ssd_ros.tools.evaluate.runs import EvaluatedRun
from trt_ssd_ros.tools.overlap import prefetch

DEPTH = 3
"""Number of prefetched images."""


@dataclass(frozen=True, eq=False)
class Observation:
    """Detections of every run in one image.

    Attributes:
        size: Width and height of the image in pixels.
        found: Detections by run.
        problem: Reason why the image cannot be read; empty if it can.
    """

    size: tuple[int, int] = (0, 0)
    found: Sequence[Detections] = ()
    problem: str = ""


def observe(
    images: Iterable[AnnotatedImage], runs: Sequence[EvaluatedRun], stop: Event
) -> Iterator[tuple[AnnotatedImage, Observation]]:
    """Yield the detections of all runs in each image until `stop` is set; images are read ahead."""
    with closing(prefetch(_read(images), DEPTH, stop)) as ahead:
        for image, pixels in ahead:
            if isinstance(pixels, SourceError):
                yield image, Observation(problem=str(pixels))
            else:
                found = [run.detect(image, pixels) for run in runs]
                yield image, Observation((pixels.shape[1], pixels.shape[0]), found)


def _read(images: Iterable[AnnotatedImage]) -> Iterator[tuple[AnnotatedImage, Image | SourceError]]:
    for image in images:
        try:
            yield image, read_image_file(image.path)
        except SourceError as error:
            yield image, error


@dataclass
class Evaluation:
    """Detections of every run, image by image; pixels are not kept.

    Attributes:
        annotated: Annotated images.
        runs: Runs to evaluate.
        images: Images that all runs have processed.
        truths: Ground truth of each image.
        found: Detections by run and image.
        unreadable: Error text of each unreadable image.
        size_mismatches: Names of images whose size differs from the annotated size.
        excluded: Labels that are not evaluated, because a run does not know them.
    """

    annotated: AnnotatedSet
    runs: Sequence[EvaluatedRun]
    images: list[AnnotatedImage] = field(default_factory=list)
    truths: list[GroundTruth] = field(default_factory=list)
    found: list[list[Detections]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    size_mismatches: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = [[] for _ in self.runs]

    def check(self, known_only: bool) -> None:
        """Require that the runs know the labels and the images.

        Args:
            known_only: Exclude labels that a run does not know.

        Raises:
            AnnotationError: A run does not know a label, or knows none of them.
            ResultError: A run has no result for an image.
        """
        for run in self.runs:
            run.check(self.annotated.images)
            known = {label.casefold() for label in run.labels if label}
            unknown = [label for label in self.annotated.labels if label.casefold() not in known]
            if len(unknown) == len(self.annotated.labels) or not known_only:
                check_labels(unknown, run.name)
            self.excluded += unknown
            self.annotated = self.annotated.only(
                [label for label in self.annotated.labels if label not in unknown]
            )

    def run(self, stop: Event, on_image: Callable[[], object]) -> None:
        """Process the images with all runs until they end or `stop` is set.

        Args:
            stop: Event that ends the evaluation; completed images stay.
            on_image: Callback after each readable image.
        """
        self.collect(observe(self.annotated.images, self.runs, stop), on_image)

    def collect(
        self, observations: Iterable[tuple[AnnotatedImage, Observation]], on_image: Callable[[], object]
    ) -> None:
        """Add the detections in all images, and call `on_image` after each readable image."""
        for image, observation in observations:
            self.add(image, observation)
            if not observation.problem:
                on_image()

    def add(self, image: AnnotatedImage, observation: Observation) -> None:
        """Add the detections in the next image."""
        if observation.problem:
            self.unreadable.append(observation.problem)
            return
        if image.size not in (None, observation.size):
            self.size_mismatches.append(image.name)
        self.images.append(image)
        self.truths.append(GroundTruth(image.corners(*observation.size), image.boxes))
        for kept, detections in zip(self.found, observation.found, strict=True):
            kept.append(detections)

    def precision(self, run: int) -> Precision:
        """Return precision and recall of a run."""
        numbers = {label.casefold(): number for number, label in enumerate(self.runs[run].labels)}
        class_ids = {label: numbers[label.casefold()] for label in self.annotated.labels}
        labels = tqdm(self.annotated.labels, f"scoring {self.runs[run].name}", unit=" classes", disable=None)
        return average_precision(self.truths, self.found[run], labels, class_ids)

    def labels(self, run: int) -> list[str]:
        """Return the class names of a run, indexed by class id, spelled like the annotations' labels."""
        own = {label.casefold(): label for label in self.annotated.labels}
        return [own.get(label.casefold(), label) for label in self.runs[run].labels]

    def confusion(self, run: int, threshold: float) -> ConfusionMatrix:
        """Return the confusion matrix of a run."""
        confusion = ConfusionMatrix(self.labels(run), self.annotated.labels, threshold)
        for truth, found in zip(self.truths, self.found[run], strict=True):
            confusion.add(truth, found)
        return confusion

    def changes(self, before: int, after: int, threshold: float) -> list[ImageChange]:
        """Compare two runs image by image; return the differences, largest first."""
        labels = self.labels(before), self.labels(after)
        first, second = self.detections_above(before, threshold), self.detections_above(after, threshold)
        pairs = zip(first, second, strict=True)
        return _largest_first(change(number, old, new, *labels) for number, (old, new) in enumerate(pairs))

    def mistakes(self, run: int, threshold: float) -> list[ImageChange]:
        """Compare a run with the ground truth image by image; return the mistakes, largest first."""
        labels, pairs = (
            (self.labels(run), self.annotated.labels),
            zip(self.truths, self.detections_above(run, threshold), strict=True),
        )
        return _largest_first(
            mistakes(number, truth, found, *labels) for number, (truth, found) in enumerate(pairs)
        )

    def detections_above(self, run: int, threshold: float) -> Iterator[Detections]:
        """Yield the detections of a run in each image, from a score on."""
        return (found[found.scores >= threshold] for found in self.found[run])


def _largest_first(changes: Iterable[ImageChange]) -> list[ImageChange]:
    return sorted((item for item in changes if item.lines), key=lambda item: -item.size)
