"""Tracker: detections of consecutive images get the ids of their objects."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes, Detections
from trt_ssd_ros.tracking.association import Candidates, Indices, associate
from trt_ssd_ros.tracking.kalman import BoxFilter
from trt_ssd_ros.tracking.settings import NANOSECONDS, TrackerSettings


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks that may continue.

    Attributes:
        motion: Filters of the T boxes.
        class_ids: (T,) int32, class of each track.
        seen_ns: (T,) int64, stamp of the last detection in nanoseconds.
        hits: (T,) int64, number of detections.
        numbers: (T,) int64, number of the track in its session, from 1; 0 for a track without an id.
    """

    motion: BoxFilter
    class_ids: NDArray[np.int32]
    seen_ns: NDArray[np.int64]
    hits: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @classmethod
    def begin(cls, stamp_ns: int, detections: Detections) -> Tracks:
        """Return tracks without ids that begin with detections."""
        count = len(detections)
        seen, hits = np.full(count, stamp_ns, np.int64), np.ones(count, np.int64)
        motion = BoxFilter.begin(detections.boxes)
        return cls(motion, detections.class_ids, seen, hits, np.zeros(count, np.int64))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: NDArray[np.bool_] | Indices) -> Tracks:
        """Return the tracks that a boolean mask or an index array selects."""
        seen_ns, hits, numbers = self.seen_ns[index], self.hits[index], self.numbers[index]
        return Tracks(self.motion[index], self.class_ids[index], seen_ns, hits, numbers)

    def __add__(self, other: Tracks) -> Tracks:
        """Return these tracks, followed by others."""
        return Tracks(
            self.motion + other.motion,
            np.concatenate([self.class_ids, other.class_ids]),
            np.concatenate([self.seen_ns, other.seen_ns]),
            np.concatenate([self.hits, other.hits]),
            np.concatenate([self.numbers, other.numbers]),
        )

    @property
    def candidates(self) -> Candidates:
        """What the association needs to know of the tracks."""
        boxes, spreads = self.motion.boxes.astype(np.float32), self.motion.spreads.astype(np.float32)
        return Candidates(boxes, spreads, self.class_ids, self.numbers > 0)

    def predict(self, seconds: float) -> Tracks:
        """Return the tracks with the boxes that they have after a time; the other columns are shared."""
        motion = self.motion.predict(seconds)
        return Tracks(motion, self.class_ids, self.seen_ns, self.hits, self.numbers)

    def observe(self, rows: Indices, stamp_ns: int, boxes: Boxes) -> None:
        """Write one detected box each into the tracks `rows`."""
        self.motion.update(rows, boxes)
        self.seen_ns[rows] = stamp_ns
        self.hits[rows] += 1


class Tracker:
    """Tracker of one camera: gives the detections of an object in consecutive images one id.

    An id is `<session>-<number>` and never names a second track. The session is a random token, so that ids of two
    cameras, or of one camera before and after a restart, differ. If the stamps go back (a recording that starts
    again) or jump ahead by more than `max_jump`, a new session begins with the suffix `.2`, `.3` and so on.

    Args:
        settings: Settings; they may be replaced between two images.
        session: Name of the first session; None: a random token.

    Attributes:
        settings: Settings of the next image.
        session: Name of the present session.
    """

    def __init__(self, settings: TrackerSettings, session: str | None = None) -> None:
        self.settings = settings
        self._name = token_hex(4) if session is None else session
        self._sessions = 0
        self._begin_session()

    def _begin_session(self) -> None:
        self._sessions += 1
        self.session = self._name if self._sessions == 1 else f"{self._name}.{self._sessions}"
        self._stamp_ns: int | None = None
        self._last_number = 0
        self._tracks = Tracks.begin(0, Detections.empty())

    def __len__(self) -> int:
        """Return the number of objects with an id, seen or not seen for at most `max_gap`."""
        return int(np.count_nonzero(self._tracks.numbers))

    def update(self, stamp_ns: int, detections: Detections) -> Detections:
        """Return an image's detections with ids, and continue the tracks.

        Reported are the detections that reach the threshold of their class, with an empty id while their object
        has none, and of the others those that continue a track with an id. Boxes and scores are the detector's.
        An image with the stamp of the one before gets ids, too, but changes no track.

        Args:
            stamp_ns: Time of the image in nanoseconds.
            detections: Detections in the image, from `TrackerSettings.wanted_scores` on; none is an image, too.

        Raises:
            RuntimeError: SciPy is not installed.
        """
        repeated = stamp_ns == self._stamp_ns
        seconds = self._follow_clock(stamp_ns)
        tracks = self._alive(stamp_ns).predict(seconds)
        high, low = self._levels(detections)
        owners = associate(tracks.candidates, detections, high, low, self.settings)
        if not repeated:
            owners = self._continue(tracks, owners, stamp_ns, detections, high & (owners < 0))
        return self._reported(detections, owners, high)

    def _follow_clock(self, stamp_ns: int) -> float:
        """Return the seconds since the image before, 0 at the first image of a session."""
        elapsed = 0 if self._stamp_ns is None else stamp_ns - self._stamp_ns
        if not 0 <= elapsed <= self.settings.max_jump * NANOSECONDS:
            self._begin_session()
            elapsed = 0
        self._stamp_ns = stamp_ns
        return elapsed / NANOSECONDS

    def _alive(self, stamp_ns: int) -> Tracks:
        alive = stamp_ns - self._tracks.seen_ns <= round(self.settings.max_gap * NANOSECONDS)
        return self._tracks if alive.all() else self._tracks[alive]

    def _levels(self, detections: Detections) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which detections reach the threshold of their class, and which others may continue a track."""
        thresholds, wanted = self.settings.levels[:, detections.class_ids]
        high = detections.scores >= thresholds
        return high, (detections.scores >= wanted) ^ high  # what is high is wanted, too

    def _continue(
        self, tracks: Tracks, owners: Indices, stamp_ns: int, detections: Detections, new: NDArray[np.bool_]
    ) -> Indices:
        """Write an image into the tracks, and return the track of each detection in it."""
        [seen] = (owners >= 0).nonzero()
        rows = owners[seen]
        tracks.observe(rows, stamp_ns, detections.boxes[seen])
        if not tracks.numbers.all():
            kept = (tracks.numbers > 0) | (tracks.seen_ns == stamp_ns)
            owners[seen] = (np.cumsum(kept) - 1)[rows]
            tracks = tracks[kept]
        if new.any():
            owners[new] = len(tracks) + np.arange(np.count_nonzero(new))
            tracks += Tracks.begin(stamp_ns, detections[new])
        self._tracks = tracks
        if not tracks.numbers.all():
            self._confirm()
        return owners

    def _confirm(self) -> None:
        """Give numbers to the tracks that were seen often enough."""
        ready = np.flatnonzero((self._tracks.numbers == 0) & (self._tracks.hits >= self.settings.confirm_after))
        self._tracks.numbers[ready] = self._last_number + 1 + np.arange(len(ready))
        self._last_number += len(ready)

    def _reported(self, detections: Detections, owners: Indices, high: NDArray[np.bool_]) -> Detections:
        numbers = np.append(self._tracks.numbers, 0)[owners]  # -1, no track, takes the 0
        shown = high | (numbers > 0)
        if not shown.all():
            detections, numbers = detections[shown], numbers[shown]
        ids = [f"{self.session}-{number}" if number else "" for number in numbers.tolist()]
        return Detections(detections.boxes, detections.scores, detections.class_ids, np.array(ids, np.str_))
