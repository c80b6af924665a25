"""Runs to evaluate: a live detector, or the results of an earlier `detect`."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.views import WHOLE, Views
from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice, open_detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.errors import counted
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.models.card import MAX_CANDIDATES, ModelCard
from trt_ssd_ros.models.shipped import model_card_path, sample_photos
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage
from trt_ssd_ros.tools.evaluate.average_precision import MAX_DETECTIONS
from trt_ssd_ros.tools.results import ResultError, read_header, read_results

MORE_CANDIDATES = (1000, MAX_CANDIDATES)
"""Candidate slots of the larger graphs; memory and time of NMS grow with their square."""
LOWEST_SCORE = 0.01
"""Lowest evaluated score, unless the user gives another."""
TRUNCATING_THRESHOLD = 0.05
"""Score threshold above which the precision-recall curve is truncated where it matters."""


class EvaluatedRun(Protocol):
    """Source of detections in annotated images.

    Attributes:
        name: Display name.
        labels: Class names, indexed by class id.
    """

    name: str
    labels: tuple[str, ...]

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """Require that the run covers these images.

        Raises:
            ResultError: An image has no result.
        """

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Return the detections in an image, with pixels (H, W, 3) uint8 bgr."""

    def described(self) -> str:
        """Return a description of the detector."""

    def warnings(self) -> list[str]:
        """Return the warnings about its figures."""

    def close(self) -> None:
        """Release all resources."""


class DetectorRun:
    """Live detector with a low threshold and a high limit of detections, so that hardly any are cut off.

    If an image fills all candidate slots and NMS leaves fewer than `max_detections`, weaker candidates may be
    missing: graphs with more slots then detect again.

    Args:
        name: Display name.
        card: Model card of the detector.
        choice: Engine to run.
        threshold: Lowest reported score.
        stop: Event that cancels the build of a plan.
        views: Parts of the images that the detector sees.

    Attributes:
        cut: Number of images in which even the most candidates were too few.
    """

    def __init__(
        self, name: str, card: ModelCard, choice: EngineChoice, threshold: float, stop: Event, views: Views = WHOLE
    ) -> None:
        self.name = name
        self._views = views
        self.labels = card.labels
        most = max(card.defaults.max_detections, MAX_DETECTIONS)
        own = max(card.defaults.candidates, most)
        defaults = replace(card.defaults, score_threshold=threshold, max_detections=most, candidates=own)
        self._card = replace(card, defaults=defaults)
        self._choice = choice.for_views(views.count)
        self._stop = stop
        self._sizes = (own, *(size for size in MORE_CANDIDATES if size > own))
        self._detectors = [self._open(own)]
        self.cut = 0

    def _open(self, candidates: int) -> Detector:
        card = replace(self._card, defaults=replace(self._card.defaults, candidates=candidates))
        with LoggedProgress(self._stop.is_set) as progress:
            detector = open_detector(card, self._choice, sample_photos(), progress)
        self._choice = replace(self._choice, backend=detector.engine_kind)  # log the choice only once
        return detector

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """Do nothing: a live detector covers any image."""

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Detect; see `EvaluatedRun.detect`."""
        del image
        found = Detections.empty()
        for number, size in enumerate(self._sizes):
            if number == len(self._detectors):
                self._detectors.append(self._open(size))
            found, complete = _detect(self._detectors[number], pixels, self._views)
            if complete:
                return found
        self.cut += 1
        return found

    def described(self) -> str:
        """Return model, engine, precision and resize."""
        first = self._detectors[0]
        views = "" if self._views == WHOLE else f", {counted(self._views.count, 'view')} of each image"
        return f"{self._card.name}, {first.engine_name}, {first.precision}, resize on the {first.resize_on}{views}"

    def warnings(self) -> list[str]:
        """Return the warnings about its figures."""
        return detector_warnings(self._card.defaults.score_threshold, self.cut)

    def close(self) -> None:
        """Close the engines."""
        for detector in self._detectors:
            detector.close()


def _detect(detector: Detector, pixels: NDArray[np.uint8], views: Views) -> tuple[Detections, bool]:
    """Return detections, and whether they are complete: more candidates would change nothing."""
    before = detector.counts.saturated
    found = detector.detect_frame(Frame(pixels, "bgr"), views)
    full = len(found) == detector.thresholds.max_detections
    return found, full or detector.counts.saturated == before


def truncation_warning(threshold: float) -> list[str]:
    """Return a warning if a score threshold truncates the precision-recall curve."""
    if threshold <= TRUNCATING_THRESHOLD:
        return []
    return [
        f"detections below a score of {threshold:.2f} are missing: the precision-recall curve is truncated and "
        f"average precision too low; run detect with --threshold 0.01"
    ]


def detector_warnings(threshold: float, cut: int) -> list[str]:
    """Return the warnings about a live detector.

    Args:
        threshold: Lowest reported score.
        cut: Number of images in which even the most candidates were too few.
    """
    texts = truncation_warning(threshold)
    if cut:
        texts.append(
            f"in {counted(cut, 'image')}, even {MAX_CANDIDATES} candidates were too few: raise --threshold"
        )
    return texts


class ResultsRun:
    """Results of an earlier `detect`: its results.jsonl or coco.json.

    Args:
        name: Display name.
        path: Results file.

    Raises:
        ResultError: The file is neither, or is damaged.
        OSError: The file cannot be read.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._description = "results of an unknown detector"
        self._threshold, self._most = 0.0, math.inf
        if path.suffix == ".jsonl":
            header = read_header(path)
            self.labels = header.labels
            self._description = ", ".join(
                str(header.detector.get(key, "?")) for key in ("model", "engine", "precision")
            )
            self._threshold = _number(header.detector.get("score_threshold"), 0.0)
            self._most = _number(header.detector.get("max_detections"), math.inf)
            self._found = {item.name: item.detections for item in read_results(path) if not item.unreadable}
        else:
            self.labels, self._found = _read_coco_results(path)
            self._threshold = min((float(d.scores.min()) for d in self._found.values() if len(d)), default=0.0)
        self._by_base = Counter(PurePath(name).name for name in self._found)

    def check(self, images: Sequence[AnnotatedImage]) -> None:
        """Require a result for each image."""
        missing = [image.name for image in images if self._key(image) is None]
        if missing:
            share = f"{len(missing)} of {counted(len(images), 'image')}"
            raise ResultError(
                f"{self._path} has no result for {share}, e.g. {missing[0]}: "
                "run detect on the whole folder of --images"
            )

    def _key(self, image: AnnotatedImage) -> str | None:
        if image.name in self._found:
            return image.name
        base = PurePath(image.name).name
        return base if base in self._found and self._by_base[base] == 1 else None

    def detect(self, image: AnnotatedImage, pixels: NDArray[np.uint8]) -> Detections:
        """Return the stored detections; see `EvaluatedRun.detect`."""
        del pixels
        key = self._key(image)
        return Detections.empty() if key is None else self._found[key]

    def described(self) -> str:
        """Return the detector and the path of the results."""
        return f"{self._description}, from {self._path}"

    def warnings(self) -> list[str]:
        """Return the warnings about its figures."""
        texts = truncation_warning(self._threshold)
        if self._most < MAX_DETECTIONS:
            texts.append(f"at most {self._most:g} detections per image were stored, but {MAX_DETECTIONS} count")
        return texts

    def close(self) -> None:
        """Do nothing."""


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) else otherwise


def _read_coco_results(path: Path) -> tuple[tuple[str, ...], dict[str, Detections]]:
    try:
        fields = json.loads(path.read_bytes())
        numbers = {item["id"]: number for number, item in enumerate(fields["categories"])}
        labels = tuple(str(item["name"]) for item in fields["categories"])
        by_image = defaultdict(list)
        for item in fields["annotations"]:
            by_image[item["image_id"]].append(item)
        found = {str(item["file_name"]): _detections(by_image[item["id"]], numbers) for item in fields["images"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(
            f"{path} holds no results: expected a results.jsonl or coco.json that detect wrote"
        ) from error
    return labels, found


def _detections(items: Sequence[Mapping[str, Any]], numbers: Mapping[Any, int]) -> Detections:
    boxes = np.array([item["bbox"] for item in items], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([item["score"] for item in items], np.float32)
    found = Detections(boxes, scores, np.array([numbers[item["category_id"]] for item in items], np.int32))
    return found[np.argsort(-scores, kind="stable")]


def expect_results(specs: Sequence[str]) -> None:
    """Require that the results files of a command line exist, before a detector is opened.

    Raises:
        ValueError: A file does not exist.
    """
    for _, text in map(_split_name, specs):
        if _is_results(text) and not Path(text).exists():
            raise ValueError(f"run: {text} does not exist, expected a results.jsonl or coco.json of detect")


@dataclass(frozen=True)
class LiveRun:
    """Detector of a command line.

    Attributes:
        name: Display name.
        model: Name of a shipped model, or path of a model card.
        choice: Engine to run.
        threshold: Lowest reported score.
        views: Parts of the images that the detector sees.
    """

    name: str
    model: str
    choice: EngineChoice
    threshold: float
    views: Views

    def card(self) -> ModelCard:
        """Read the model card."""
        return ModelCard.load(model_card_path(self.model))

    def open(self, stop: Event) -> DetectorRun:
        """Open the detector; `stop` cancels the build of a plan."""
        return DetectorRun(self.name, self.card(), self.choice, self.threshold, stop, self.views)


def open_runs(
    specs: Sequence[str],
    model: str,
    threshold: float,
    settings: EngineChoice,
    views: Views,
    open_live: Callable[[LiveRun], EvaluatedRun],
) -> Iterator[EvaluatedRun]:
    """Open the runs of a command line.

    Args:
        specs: Runs as [NAME=]BACKEND[:PRECISION][@MODEL], or [NAME=]FILE with results of `detect`.
        model: Default model: name of a shipped model, or path of a model card.
        threshold: Lowest score that detectors report.
        settings: Settings of all detectors, without backend and precision.
        views: Parts of the images that all detectors see.
        open_live: Function that opens a detector.

    Raises:
        ValueError: A run is invalid, or two have one name.
        RuntimeError: A backend is missing.
        OSError: A file cannot be read.
    """
    named = [_split_name(spec) for spec in specs]
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"run: found {twice!r} twice, expected different names: NAME={twice}")
    for name, text in named:
        if _is_results(text):
            yield ResultsRun(name, Path(text))
            continue
        engine, _, own = text.partition("@")
        backend, _, precision = engine.partition(":")
        if backend not in BACKENDS or precision not in ("", *PRECISIONS):
            expected = f"{'|'.join(BACKENDS)}[:{'|'.join(PRECISIONS)}], or results.jsonl or coco.json of detect"
            raise ValueError(f"run: found {text!r}, expected {expected}")
        if backend == "onnxruntime" and precision not in ("", "fp32"):
            raise ValueError(f"run: found {text!r}, but ONNX Runtime runs the network as it is: give no precision")
        if backend == "remote" and precision:
            raise ValueError(f"run: found {text!r}, but the server chooses the precision: give none")
        choice = replace(settings, backend=backend, precision=precision or "auto")
        yield open_live(LiveRun(name, own or model, choice, threshold, views))


def backends_of(specs: Sequence[str]) -> list[str]:
    """Return the backends of the detectors among the runs of a command line, in order."""
    texts = (text for _, text in map(_split_name, specs) if not _is_results(text))
    return list(dict.fromkeys(text.partition("@")[0].partition(":")[0] for text in texts))


def _is_results(text: str) -> bool:
    return Path(text).suffix in {".jsonl", ".json"}


def _split_name(spec: str) -> tuple[str, str]:
    name, separator, text = spec.partition("=")
    return (name, text) if separator and "/" not in name else (spec, spec)
