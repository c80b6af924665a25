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
from trt_ssd_ros.tools.evaluate.average_precision import Precision, Truth, average_precision
from trt_ssd_ros.tools.evaluate.confusion import Confusion, ImageChange, change, mistakes
from trt_ssd_ros.tools.evaluate.runs import EvaluatedRun
from trt_ssd_ros.tools.overlap import ahead

DEPTH = 3
"""Images that are read ahead."""


@dataclass
class Evaluation:
    """Detections of every run, image by image; images themselves are not kept.

    Attributes:
        annotated: The set.
        runs: What is evaluated.
        images: Images that all runs have seen.
        truths: Ground truth of each image.
        found: Detections of each run in each image.
        unreadable: Images that could not be read, and why.
        misfits: Names of images that are not of the size for which they were annotated.
        left_out: Labels that are not looked at, as a run does not know them.
    """

    annotated: AnnotatedSet
    runs: Sequence[EvaluatedRun]
    images: list[AnnotatedImage] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    found: list[list[Detections]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = [[] for _ in self.runs]

    def check(self, known_only: bool) -> None:
        """Require that the runs know the labels and the images.

        Args:
            known_only: Leave out labels that a run does not know.

        Raises:
            AnnotationError: A run does not know a label, or knows none.
            ResultError: There is no result for an image.
        """
        for run in self.runs:
            run.check(self.annotated.images)
            known = {label.casefold() for label in run.labels}
            unknown = [label for label in self.annotated.labels if label.casefold() not in known]
            if len(unknown) == len(self.annotated.labels) or not known_only:
                check_labels(unknown, run.name)
            self.left_out += unknown
            self.annotated = self.annotated.only(
                [label for label in self.annotated.labels if label not in unknown]
            )

    def run(self, stop: Event, told: Callable[[], object]) -> None:
        """Run everything on every image until they end, or `stop` is set.

        Args:
            stop: Set from outside; what is complete stays.
            told: Called after each image.
        """
        with closing(ahead(self._read(), DEPTH, stop)) as images:
            for image, pixels in images:
                found = [run.detect(image, pixels) for run in self.runs]
                height, width = pixels.shape[:2]
                if image.size not in (None, (width, height)):
                    self.misfits.append(image.name)
                self.images.append(image)
                self.truths.append(Truth(image.corners(width, height), image.boxes))
                for kept, detections in zip(self.found, found, strict=True):
                    kept.append(detections)
                told()

    def _read(self) -> Iterator[tuple[AnnotatedImage, Image]]:
        for image in self.annotated.images:
            try:
                yield image, read_image_file(image.path)
            except SourceError as error:
                self.unreadable.append(str(error))

    def precision(self, run: int) -> Precision:
        """Score a run."""
        numbers = {label.casefold(): number for number, label in enumerate(self.runs[run].labels)}
        class_ids = {label: numbers[label.casefold()] for label in self.annotated.labels}
        labels = tqdm(self.annotated.labels, f"scoring {self.runs[run].name}", unit=" classes", disable=None)
        return average_precision(self.truths, self.found[run], labels, class_ids)

    def labels(self, run: int) -> list[str]:
        """Return the name of each class id of a run, in the words of the annotations where they have one."""
        own = {label.casefold(): label for label in self.annotated.labels}
        return [own.get(label.casefold(), label) for label in self.runs[run].labels]

    def confusion(self, run: int, threshold: float) -> Confusion:
        """Count what a run takes for what."""
        confusion = Confusion(self.labels(run), self.annotated.labels, threshold)
        for truth, found in zip(self.truths, self.found[run], strict=True):
            confusion.add(truth, found)
        return confusion

    def changes(self, before: int, after: int, threshold: float) -> list[ImageChange]:
        """Compare two runs image by image; return what changed, most first."""
        labels = self.labels(before), self.labels(after)
        pairs = zip(self.seen(before, threshold), self.seen(after, threshold), strict=True)
        return _most_first(change(number, old, new, *labels) for number, (old, new) in enumerate(pairs))

    def mistakes(self, run: int, threshold: float) -> list[ImageChange]:
        """Compare a run with the truth image by image; return what is wrong, most first."""
        labels, pairs = (
            (self.labels(run), self.annotated.labels),
            zip(self.truths, self.seen(run, threshold), strict=True),
        )
        return _most_first(mistakes(number, truth, found, *labels) for number, (truth, found) in enumerate(pairs))

    def seen(self, run: int, threshold: float) -> Iterator[Detections]:
        """Go through what a run found in each image from a score on."""
        return (found[found.scores >= threshold] for found in self.found[run])


def _most_first(changes: Iterable[ImageChange]) -> list[ImageChange]:
    return sorted((item for item in changes if item.lines), key=lambda item: -item.size)
