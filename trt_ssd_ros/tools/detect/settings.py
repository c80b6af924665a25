"""Settings of a run, from its command line: detectors, tracker, and the header of the results."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from secrets import token_hex
from threading import Event

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.images.source import ImageSource
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path
from trt_ssd_ros.tools.command_line import remote_options
from trt_ssd_ros.tools.detect.folder import LOG_NAME, resume_results, start_results
from trt_ssd_ros.tools.detect.run import opened_detectors
from trt_ssd_ros.tools.detect.track_options import track_values
from trt_ssd_ros.tools.detect.tracks import SourceTracks
from trt_ssd_ros.tools.results import ResultHeader
from trt_ssd_ros.tools.view_options import views_of
from trt_ssd_ros.tracking.association import load_solver
from trt_ssd_ros.tracking.settings import TrackerSettings


@dataclass(frozen=True)
class RunSettings:
    """Settings that the results depend on.

    Attributes:
        header: Settings as they stand in the results file.
        tracker: Settings of the trackers; None: no tracking.
        least: Least width and height in pixels of an image that may be decoded reduced; None: decode whole images.
    """

    header: ResultHeader
    tracker: TrackerSettings | None
    least: tuple[int, int] | None


@contextmanager
def prepared_detectors(
    options: argparse.Namespace, is_video: bool, stop: Event
) -> Iterator[tuple[list[Detector], RunSettings]]:
    """Open the detectors of a run, and yield them with the settings of the run.

    Args:
        options: Command line of `detect`.
        is_video: Whether the images follow each other in time.
        stop: Event that cancels the build of a plan.

    Raises:
        ValueError: The model card or an option is wrong.
        RuntimeError: The backend is missing, or cannot run the network.
    """
    card = ModelCard.load(model_card_path(options.model))
    choice = EngineChoice(
        options.backend,
        options.precision,
        BuildOptions(batch=options.batch),
        options.cpu_threads,
        options.resize_on,
        options.gpu,
        options.gpu_wait,
        remote_options(options, [options.backend]),
    )
    views = views_of(options)
    with opened_detectors(card, choice, options.threshold, stop, views.count) as detectors:
        first = detectors[0]
        reduced = views.is_whole_image and options.draw == "none" and first.resize_on == "host" and not is_video
        least = (card.input.width, card.input.height) if reduced else None
        stated, tracker = header(options, first, reduced), _tracker(options, detectors)
        yield detectors, RunSettings(stated, tracker, least)


def header(options: argparse.Namespace, detector: Detector, reduced: bool) -> ResultHeader:
    """Return the settings that determine the results of this run, with whether images may be decoded reduced."""
    thresholds = detector.thresholds
    return ResultHeader(
        {
            "model": detector.card.name,
            "sha256": detector.card.onnx.sha256,
            "engine": detector.engine_name,
            "precision": detector.precision,
            "resize_on": detector.resize_on,
            "jpeg": "reduced (--draw none)" if reduced else "whole",
            "batch": options.batch,
            "views": str(views_of(options)),
            "score_threshold": thresholds.lowest,
            "iou_threshold": thresholds.iou,
            "max_detections": thresholds.max_detections,
            "inputs": options.inputs,
            "topic": " ".join(options.topic),
            "track": track_values(options) if options.track else None,
        },
        detector.card.labels,
        detector.card.first_class_id,
    )


def _tracker(options: argparse.Namespace, detectors: Sequence[Detector]) -> TrackerSettings | None:
    """Return the settings of the trackers, and make the detectors find what they need; None: no tracking."""
    if not options.track:
        return None
    thresholds = detectors[0].thresholds
    settings = TrackerSettings(thresholds.classes, **track_values(options))
    for detector in detectors:
        detector.thresholds = replace(thresholds, classes=settings.wanted_scores)
    return settings


def new_tracks(settings: RunSettings, live: bool) -> SourceTracks | None:
    """Return the trackers of the run; None: no tracking."""
    if settings.tracker is None:
        return None
    load_solver()  # a missing SciPy is reported before the first image
    return SourceTracks(settings.tracker, token_hex() if live else settings.header.line())


def begin_results(options: argparse.Namespace, settings: RunSettings, images: ImageSource) -> int:
    """Start a new results file, or continue the one of a resumed run, and return its number of images."""
    log = options.output / LOG_NAME
    if options.resume:
        return resume_results(log, settings.header, images.names, options.batch)
    start_results(log, settings.header)
    return 0
