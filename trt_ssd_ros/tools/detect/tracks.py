"""SourceTracks: the trackers of a run, one for each source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from trt_ssd_ros.images.recording import stamp_of
from trt_ssd_ros.tools.results import ImageResult, ResultError
from trt_ssd_ros.tracking.settings import NANOSECONDS, TrackerSettings
from trt_ssd_ros.tracking.tracker import Tracker

SESSION_BYTES = 4


class SourceTracks:
    """Trackers that give the objects of each source ids, by the time of the images.

    The session in the ids is a hash of the settings of the run and the source: a resumed run continues the ids,
    and a repeated run gives the same ones.

    Args:
        settings: Settings of every tracker.
        run: Text that tells this run from others.
    """

    def __init__(self, settings: TrackerSettings, run: str) -> None:
        self._settings = settings
        self._run = run
        self._trackers: dict[str, Tracker] = {}

    def update(self, result: ImageResult) -> ImageResult:
        """Return a result with ids; an unreadable image changes nothing."""
        if result.unreadable:
            return result
        source = source_of(result.name)
        if source not in self._trackers:
            self._trackers[source] = Tracker(self._settings, self._session(source))
        return replace(result, detections=self._trackers[source].update(stamp_ns(result), result.detections))

    def _session(self, source: str) -> str:
        text = f"{self._run} {source}".encode(errors="surrogateescape")
        return blake2b(text, digest_size=SESSION_BYTES).hexdigest()

    def replay(self, results: Iterable[ImageResult]) -> None:
        """Track the results of the run that this one continues.

        Detections that a tracker did not report had no influence on its tracks, so the reported ones suffice.

        Raises:
            ResultError: The ids are others than those of the earlier run.
        """
        for result in results:
            again, before = self.update(result).detections.ids, result.detections.ids
            if again is not None and before is not None and not np.array_equal(again, before):
                found = f"tracking {result.name} again gives other ids than the earlier run"
                raise ResultError(f"--resume: {found}: give --overwrite")


def source_of(name: str) -> str:
    """Return the label of an image's source among several; empty for the only source."""
    return name.rpartition("/")[0]


def stamp_ns(result: ImageResult) -> int:
    """Return the time of an image in nanoseconds: the stamp in a recording, else the time in the video."""
    stamp = stamp_of(result.name.rpartition("/")[2])
    return round((result.seconds or 0.0) * NANOSECONDS) if stamp is None else stamp
