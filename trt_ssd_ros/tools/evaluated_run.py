"""What is evaluated: a detector that runs now, or the results of one that ran before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.core.detections import Detections
from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.core.model_card import MAX_CANDIDATES, ModelCard
from trt_ssd_ros.core.resources import sample_photos
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.tools.annotated_set import AnnotatedImage

TRUNCATES = 0.05
"""Lowest score from which on the precision/recall curve is cut off where it still counts."""


class EvaluatedRun(Protocol):
    """Finds objects in the images of a set.

    Attributes:
        name: For people.
        labels: Name of each class id.
    """

    name: str
    labels: tuple[str, ...]

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """Require that it can find something in all of these.

        Raises:
            ResultError: There is no result for one of them.
        """

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Return what is in an image, whose pixels are (H, W, 3) uint8 bgr."""

    def described(self) -> str:
        """Return what it is."""

    def warnings(self) -> list[str]:
        """Return what makes its figures doubtful."""

    def close(self) -> None:
        """Give everything back."""


class DetectorRun:
    """A detector that runs now, at a threshold so low that hardly anything is cut off.

    Where all candidate slots of an image are taken, and less than `max_detections` remain of them, weaker
    candidates might have been among them: then a graph with as many slots as there can be is asked.

    Args:
        name: For people.
        card: Of the detector.
        choice: What runs it.
        threshold: Lowest score that it reports.
        stop: Cancels the build of a plan.
    """

    def __init__(self, name: str, card: ModelCard, choice: EngineChoice, threshold: float, stop: Event) -> None:
        self.name = name
        self.labels = card.labels
        self._card = replace(card, defaults=replace(card.defaults, score_threshold=threshold))
        self._choice = choice
        self._stop = stop
        self._detector = self._open(self._card)
        self._larger: Detector | None = None
        self._cut = 0

    def _open(self, card: ModelCard) -> Detector:
        with LoggedProgress(self._stop.is_set) as progress:
            return open_detector(card, self._choice, sample_photos(), progress)

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """It can find something in any image."""

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Detect; see `EvaluatedRun.detect`."""
        del image
        found, complete = _detect(self._detector, pixels)
        if not complete:
            found, complete = _detect(self._larger_detector(), pixels)
        self._cut += not complete
        return found

    def _larger_detector(self) -> Detector:
        if self._larger is None:
            self._larger = self._open(
                replace(self._card, defaults=replace(self._card.defaults, candidates=MAX_CANDIDATES))
            )
        return self._larger

    def described(self) -> str:
        """Return model, engine and precision."""
        return f"{self._card.name}, {self._detector.engine_name}, {self._detector.precision}"

    def warnings(self) -> list[str]:
        """Return what makes its figures doubtful."""
        said = truncation_warning(self._card.defaults.score_threshold)
        if self._cut:
            said.append(f"in {self._cut} images even {MAX_CANDIDATES} candidates were too few: raise --threshold")
        return said

    def close(self) -> None:
        """Close the engines."""
        self._detector.close()
        if self._larger is not None:
            self._larger.close()


def _detect(detector: Detector, pixels: NDArray[np.uint8]) -> tuple[Detections, bool]:
    """Detect, and tell whether more candidates would change nothing."""
    before = detector.counts.saturated
    found = detector.detect(pixels)
    full = len(found) == detector.thresholds.max_detections
    return found, full or detector.counts.saturated == before


def truncation_warning(threshold: float) -> list[str]:
    """Return a warning if a score threshold cuts the precision/recall curve off."""
    if threshold <= TRUNCATES:
        return []
    return [
        f"nothing below a score of {threshold:.2f} is there: the precision/recall curve is cut off, and average "
        f"precision is lower than the detector's; detect with --threshold 0.01 to evaluate"
    ]
