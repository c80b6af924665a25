"""Peers of the tracker: ByteTrack of `trackers` as the baseline, TrackEval as the referee."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.tracking.sequences import RATE, Image
from trt_ssd_ros.detection.detections import Detections, ious
from trt_ssd_ros.errors import load_library
from trt_ssd_ros.tracking.settings import NANOSECONDS, TrackerSettings
from trt_ssd_ros.tracking.tracker import Tracker

Follow = Callable[[int, Detections], Detections]
"""One step of a tracker: the stamp in nanoseconds and the detections in, detections with ids out."""


def our_tracker(settings: TrackerSettings) -> Follow:
    """Return a step of a new tracker of ours."""
    return Tracker(settings, "bench").update


def byte_track(settings: TrackerSettings, stamps: bool) -> Follow:
    """Return a step of a new ByteTrack of `trackers`, with the thresholds of our settings.

    Args:
        settings: Thresholds, gap and confirmation; the least overlap is the baseline's default.
        stamps: Tell it the time of each image; else it counts images.

    Raises:
        RuntimeError: trackers or supervision is not installed.
    """
    library = load_library("trackers", "trackers==2.6.1", "the baseline")
    supervision = load_library("supervision", "supervision", "the baseline")
    tracker = library.ByteTrackTracker(
        lost_track_buffer=round(settings.max_gap * 30),  # counted at 30 Hz, whatever the frame rate
        frame_rate=RATE,
        track_activation_threshold=settings.thresholds[0],
        minimum_consecutive_frames=settings.confirm_after,
        high_conf_det_threshold=settings.thresholds[0],
    )

    def follow(stamp_ns: int, found: Detections) -> Detections:
        given = supervision.Detections(found.boxes, confidence=found.scores, class_id=found.class_ids)
        out = tracker.update(given, timestamp=stamp_ns / NANOSECONDS if stamps else None)
        ids = [str(number) if number >= 0 else "" for number in out.tracker_id]
        return Detections(out.xyxy, out.confidence, out.class_id, np.array(ids, np.str_))

    return follow


@dataclass(frozen=True, eq=False)
class Scores:
    """Judgement of a tracker over sequences, in percent."""

    hota: float
    idf1: float
    mota: float
    switches: int


class Referee:
    """TrackEval's metrics of one tracker, sequence by sequence.

    Raises:
        RuntimeError: TrackEval is not installed.
    """

    def __init__(self) -> None:
        library = load_library("trackeval.metrics", "trackeval==1.3.0", "the referee")
        quiet = {"PRINT_CONFIG": False}
        self._metrics = {
            "HOTA": library.HOTA(),
            "Identity": library.Identity(quiet),
            "CLEAR": library.CLEAR(quiet),
        }
        self._parts: dict[str, dict[str, Any]] = {name: {} for name in self._metrics}

    def judge(self, sequence: str, images: Sequence[Image], follow: Follow) -> None:
        """Run a new tracker over a sequence."""
        evidence = _evidence(images, follow)
        for name, metric in self._metrics.items():
            self._parts[name][sequence] = metric.eval_sequence(evidence)

    def scores(self, scene: str = "") -> Scores:
        """Return the scores over all sequences whose names begin with a text."""
        total = {}
        for name, metric in self._metrics.items():
            parts = {sequence: part for sequence, part in self._parts[name].items() if sequence.startswith(scene)}
            total[name] = metric.combine_sequences(parts)
        return Scores(
            100 * float(np.mean(total["HOTA"]["HOTA"])),
            100 * float(total["Identity"]["IDF1"]),
            100 * float(total["CLEAR"]["MOTA"]),
            int(total["CLEAR"]["IDSW"]),
        )


def _evidence(images: Sequence[Image], follow: Follow) -> dict[str, Any]:
    """Return a run of a tracker in the form that TrackEval's metrics take."""
    tracked = [_with_id(follow(image.stamp_ns, image.found)) for image in images]
    objects = _numbered([image.truth.objects.astype(np.str_) for image in images])
    ids = _numbered([found.ids for found in tracked if found.ids is not None])
    similarity = [
        ious(image.truth.boxes, found.boxes.astype(np.float64))
        for image, found in zip(images, tracked, strict=True)
    ]
    return {
        "gt_ids": objects,
        "tracker_ids": ids,
        "similarity_scores": similarity,
        "num_gt_ids": 1 + max((int(image.max()) for image in objects if len(image)), default=-1),
        "num_tracker_ids": 1 + max((int(image.max()) for image in ids if len(image)), default=-1),
        "num_gt_dets": sum(map(len, objects)),
        "num_tracker_dets": sum(map(len, ids)),
        "num_timesteps": len(images),
    }


def _with_id(found: Detections) -> Detections:
    assert found.ids is not None
    return found[found.ids != ""]


def _numbered(names: Sequence[NDArray[np.str_]]) -> list[NDArray[np.intp]]:
    """Return names (N,) of each image as numbers from 0 without gaps."""
    number = {name: index for index, name in enumerate(sorted({str(name) for image in names for name in image}))}
    return [np.array([number[str(name)] for name in image], np.intp) for image in names]
