"""Recording: the detections of a detector and their pictures, as a table and JPEG files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from trt_ssd_ros.errors import counted
from trt_ssd_ros.files import MAX_NAME_BYTES

REPORT = "recording.txt"
"""File with the table and the names of the other files."""
WROTE = "wrote       "
"""Start of the report's last lines, which name the written files."""
WAITING_FRAMES = 30
"""Number of frames that wait for their picture."""
WAITING_PICTURES = 60
"""Number of pictures that wait for their detections: on a busy machine the newest picture arrives long before the
detections, of which the middleware queues more."""


@dataclass(frozen=True)
class Found:
    """Detection of one label.

    Attributes:
        label: Class name or id, as in the message.
        score: Score, 0 to 1.
        box: Bounding box, x1 y1 x2 y2 in pixels of the camera's image.
    """

    label: str
    score: float
    box: tuple[int, int, int, int]


@dataclass
class Sighting:
    """Detections of one label.

    Attributes:
        best: Best detection among the frames with a recorded picture; while there is none, among all frames.
        frames: Number of frames with the label.
        picture: Debug image of the frame of `best` as JPEG; None if no frame with the label has a picture.
    """

    best: Found
    frames: int = 0
    picture: bytes | None = None


Best = Mapping[str, Found]
"""Best detection of each label in one frame."""


@dataclass
class Recording:
    """Summary of the received messages.

    Detections and pictures are matched by their stamps. Pictures of a frame without a stamp match nothing.

    Attributes:
        frames: Number of received detection arrays.
        pictures: Number of frames whose picture was received.
        early: Number of frames before the first picture.
        dropped: Number of frames after the first picture whose picture was not received.
        sightings: Detections by label.
        has_pictures: Whether the detector publishes debug images.
        notes: Remarks for the report.
        counts: Values of the detector's status in the latest /diagnostics.
        counts_before: Values of the detector's status in the first /diagnostics.
    """

    frames: int = 0
    pictures: int = 0
    early: int = 0
    dropped: int = 0
    sightings: dict[str, Sighting] = field(default_factory=dict)
    has_pictures: bool = True
    notes: list[str] = field(default_factory=list)
    counts: Mapping[str, str] = field(default_factory=dict)
    counts_before: Mapping[str, str] = field(default_factory=dict)
    _waiting: dict[int, Best] = field(default_factory=dict)
    _early: dict[int, bytes] = field(default_factory=dict)

    def add_detections(self, stamp: int, found: list[Found]) -> None:
        """Add the detections of one frame.

        Args:
            stamp: Stamp of the image in ns; 0: none.
            found: All detections of the frame.
        """
        self.frames += 1
        best = {item.label: item for item in sorted(found, key=lambda item: item.score)}
        for item in best.values():
            sighting = self.sightings.setdefault(item.label, Sighting(item))
            sighting.frames += 1
            if sighting.picture is None and item.score > sighting.best.score:
                sighting.best = item
        if stamp in self._waiting:  # no stamp, or the same one again
            self._give_up(stamp)
        self._waiting[stamp] = best
        if stamp in self._early:
            self._match(stamp, self._early.pop(stamp))
        elif len(self._waiting) > WAITING_FRAMES:
            self._give_up(next(iter(self._waiting)))

    def add_picture(self, stamp: int, jpeg: bytes) -> None:
        """Add the debug image of one frame, before or after its detections.

        Args:
            stamp: Stamp of the image in ns; 0: none.
            jpeg: Debug image as JPEG.
        """
        if stamp in self._waiting and stamp:
            self._match(stamp, jpeg)
        elif stamp:
            self._early[stamp] = jpeg
            if len(self._early) > WAITING_PICTURES:
                self._early.pop(next(iter(self._early)))

    def _match(self, stamp: int, jpeg: bytes) -> None:
        for older in list(self._waiting):
            if older == stamp:
                break
            self._give_up(older)  # pictures arrive in order: its own was dropped
        self.pictures += 1
        for item in self._waiting.pop(stamp).values():
            sighting = self.sightings[item.label]
            if sighting.picture is None or item.score > sighting.best.score:
                sighting.best, sighting.picture = item, jpeg

    def _give_up(self, stamp: int) -> None:
        del self._waiting[stamp]
        if self.pictures:
            self.dropped += 1
        else:
            self.early += 1

    def finish(self) -> None:
        """Give up the pictures that have not arrived, so that the counts add up; call it at the end."""
        for stamp in list(self._waiting):
            self._give_up(stamp)

    def by_frames(self) -> list[tuple[str, Sighting]]:
        """Return the labels and their detections, by falling number of frames."""
        return sorted(self.sightings.items(), key=lambda item: -item[1].frames)

    def growth(self, name: str) -> int | None:
        """Return the growth of a frame count of the detector; None if it is unknown or the detector restarted."""
        after, before = (counts.get(name, "") for counts in (self.counts, self.counts_before))
        if self.counts is self.counts_before or not (after.isdecimal() and before.isdecimal()):
            return None
        grown = int(after) - int(before)
        return grown if grown >= 0 else None


def table(recording: Recording, files: Mapping[str, Path]) -> str:
    """Return the detections, frame counts and latency as a text table.

    A row is the best detection of its label among the frames with a recorded picture, so that the picture shows
    the box and the score of the row. If there is no such frame, the row is the best of all frames, and says so.

    Args:
        recording: Recording to describe.
        files: File of each label's picture.
    """
    lines = [f"{'object':<16}{'score':>6}   {'box: x1 y1 x2 y2':<22}{'frames':>7}   picture"]
    for label, sighting in recording.by_frames():
        box = " ".join(f"{corner:4d}" for corner in sighting.best.box)
        name = files[label].name if label in files else "none: not recorded"
        lines.append(f"{label:<16}{sighting.best.score:6.2f}   {box:<22}{sighting.frames:7d}   {name}")
    if not recording.sightings:
        lines.append("no detections")
    described = {
        "engine": recording.counts.get("engine", "unknown: no /diagnostics from the detector"),
        "latency": latency(recording.counts),
        "images": images(recording),
        "pictures": pictures(recording),
    }
    return "\n".join([*lines, "", LEGEND, "", *(f"{name:<12}{text}" for name, text in described.items())])


LEGEND = """\
score: the highest of the object (0 to 1) in a recorded picture   box: its corners in that picture in pixels
frames: number of frames with the object   picture: that very frame, with its boxes"""


def latency(counts: Mapping[str, str]) -> str:
    """Return the detector's latency as text.

    Args:
        counts: Values of the detector's status in /diagnostics.
    """
    p50, p99 = counts.get("latency p50 ms"), counts.get("latency p99 ms")
    if p50 is None or p99 is None:
        return "unknown: the detector has not reported any"
    return f"p50 {p50} ms, p99 {p99} ms from the image's stamp to its detections, by the detector's own clock"


def images(recording: Recording) -> str:
    """Return the detector's frame counts during the recording as text."""
    processed, dropped, refused = map(recording.growth, ("processed", "dropped", "refused"))
    if processed is None or refused is None:
        return "unknown: fewer than two /diagnostics from one run of the detector"
    parts = [f"{processed} processed"]
    lost = recording.growth("lost")
    if dropped is None:
        parts.append("replaced or lost ones unknown: the middleware does not number images")
    elif lost is None:
        parts.append(f"{dropped} replaced by newer ones or lost by the middleware")
    else:
        parts += [
            f"{max(dropped - lost, 0)} replaced by newer ones",
            f"{min(lost, dropped)} lost by the middleware",
        ]
    return ", ".join([*parts, f"{refused} unreadable"]) + " (first to last /diagnostics, which come each second)"


def pictures(recording: Recording) -> str:
    """Return the picture counts as text."""
    text = f"{recording.pictures} of {counted(recording.frames, 'frame')} recorded"
    if recording.pictures and recording.early:
        text += f", {recording.early} before the first picture"
    if recording.dropped:
        text += f", {recording.dropped} dropped: the recorder leaves the processor to the detector"
    if not recording.has_pictures:
        cause = "the detector publishes no debug_image/compressed: set its parameter debug_image to true"
        return f"{text}: {cause}"
    return text if recording.pictures else f"{text}: no debug_image/compressed matches the detections' stamps"


@contextmanager
def recording_folder(path: Path) -> Iterator[None]:
    """Create a folder, and delete it after the body if it is new and empty.

    Raises:
        OSError: The folder cannot be created.
    """
    new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if new and not any(path.iterdir()):
            path.rmdir()


def clear(folder: Path) -> None:
    """Delete the files of an earlier recording from a folder, if there are any.

    The report's last lines name them. Only files in the folder itself are deleted.
    """
    report = folder / REPORT
    if not report.exists():
        return
    lines = os.fsdecode(report.read_bytes()).rstrip("\n").split("\n")
    for line in takewhile(lambda line: line.startswith(WROTE), reversed(lines)):
        path = folder / Path(line.removeprefix(WROTE)).name
        if path.is_file():
            path.unlink()
    report.unlink(missing_ok=True)


def write_pictures(recording: Recording, folder: Path) -> dict[str, Path]:
    """Write the picture of each label that has one, and return the paths.

    Raises:
        OSError: The folder is not writable.
    """
    paths: dict[str, Path] = {}
    for label, sighting in recording.by_frames():
        if sighting.picture is not None:
            paths[label] = _free_path(folder, label, set(paths.values()))
            paths[label].write_bytes(sighting.picture)
    return paths


def _free_path(folder: Path, label: str, taken: set[Path]) -> Path:
    """Return a path named by a label; labels may differ only in characters that a file name cannot have."""
    name = re.sub(r"[^\w.-]", "_", label.lower()).lstrip(".") or "object"
    name = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")  # a cut character goes
    path, number = folder / f"{name}.jpg", 1
    while path in taken:
        number += 1
        path = folder / f"{name}_{number}.jpg"
    return path
