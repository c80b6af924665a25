"""What is evaluated: a detector that runs now, or the results of one that ran before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.models.card import MAX_CANDIDATES, ModelCard
from trt_ssd_ros.models.shipped import sample_photos
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage
from trt_ssd_ros.tools.evaluate.average_precision import MAX_DETECTIONS

MORE_CANDIDATES = (1000, MAX_CANDIDATES)
"""Candidate slots of the larger graphs; memory and time of NMS grow with their square."""
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
    """A detector that runs now, at a threshold so low, with so many detections, that hardly anything is cut off.

    Where all candidate slots of an image are taken, and less than `max_detections` remain of them, weaker
    candidates might have been among them: then graphs with more and more slots are asked.

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
        most = max(card.defaults.max_detections, MAX_DETECTIONS)
        own = max(card.defaults.candidates, most)
        defaults = replace(card.defaults, score_threshold=threshold, max_detections=most, candidates=own)
        self._card = replace(card, defaults=defaults)
        self._choice = choice
        self._stop = stop
        self._sizes = (own, *(size for size in MORE_CANDIDATES if size > own))
        self._detectors = [self._open(own)]
        self._cut = 0

    def _open(self, candidates: int) -> Detector:
        card = replace(self._card, defaults=replace(self._card.defaults, candidates=candidates))
        with LoggedProgress(self._stop.is_set) as progress:
            detector = open_detector(card, self._choice, sample_photos(), progress)
        on_cpu = detector.engine_name.startswith("ONNX Runtime")
        backend = "onnxruntime" if on_cpu else "tensorrt"  # the next is the same, and need not say why
        self._choice = replace(self._choice, backend=backend)
        return detector

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """It can find something in any image."""

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Detect; see `EvaluatedRun.detect`."""
        del image
        found = Detections.empty()
        for number, size in enumerate(self._sizes):
            if number == len(self._detectors):
                self._detectors.append(self._open(size))
            found, complete = _detect(self._detectors[number], pixels)
            if complete:
                return found
        self._cut += 1
        return found

    def described(self) -> str:
        """Return model, engine and precision."""
        return f"{self._card.name}, {self._detectors[0].engine_name}, {self._detectors[0].precision}"

    def warnings(self) -> list[str]:
        """Return what makes its figures doubtful."""
        said = truncation_warning(self._card.defaults.score_threshold)
        if self._cut:
            said.append(f"in {self._cut} images even {MAX_CANDIDATES} candidates were too few: raise --threshold")
        return said

    def close(self) -> None:
        """Close the engines."""
        for detector in self._detectors:
            detector.close()


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
