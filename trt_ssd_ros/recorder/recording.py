"""Recording: the messages of a detector, as a table, pictures and a video."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

PICTURES = 3
REPORT = "recording.txt"
"""File with the table and the names of the other files."""


@dataclass
class Sighting:
    """Detections of one label: their number of frames, and the best one.

    Attributes:
        frames: Number of frames with the label.
        score: Score of the best detection.
        box: Bounding box of the best detection, x1 y1 x2 y2 in pixels.
        picture: Debug image (H, W, 3) of the best detection for which one arrived; None if there is none.
        stamp: Stamp of the best detection's image in ns.
    """

    frames: int = 0
    score: float = 0.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    picture: NDArray[np.uint8] | None = None
    stamp: int = -1


@dataclass
class Recording:
    """Summary of the received messages.

    Attributes:
        frames: Number of received detection arrays.
        latencies: Times in ms from each image's stamp to the arrival of its detections.
        sightings: Detections by label.
        counts: Values of the detector's status in the latest /diagnostics.
        counts_before: Values of the detector's status in the first /diagnostics.
    """

    frames: int = 0
    latencies: list[float] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)
    counts_before: dict[str, str] = field(default_factory=dict)

    def by_frames(self) -> list[tuple[str, Sighting]]:
        """Return the labels and their detections, by falling number of frames."""
        return sorted(self.sightings.items(), key=lambda item: -item[1].frames)

    def count(self, name: str) -> int:
        """Return the growth of a frame count; 0 if the count is unknown."""
        after, before = (counts.get(name, "0") for counts in (self.counts, self.counts_before))
        return int(after) - int(before) if after.isdigit() and before.isdigit() else 0


def table(recording: Recording) -> str:
    """Return the detections, frame counts and latencies as a text table."""
    lines = [f"{'label':<16}{'score':>6}   {'box x1 y1 x2 y2':<22}{'seen in':>9} frames"]
    for label, sighting in recording.by_frames():
        box = " ".join(f"{corner:4d}" for corner in sighting.box)
        lines.append(f"{label:<16}{sighting.score:6.2f}   {box:<22}{sighting.frames:9d}")
    processed, *drops = (recording.count(name) for name in ("processed", "dropped", "refused"))
    p50, p99 = np.percentile(recording.latencies, (50, 99))
    lines += [
        "",
        f"engine      {recording.counts.get('engine', 'unknown')}",
        f"frames      {processed + sum(drops)} in, {processed} processed, {sum(drops)} dropped "
        f"({drops[0]} replaced by newer ones or lost, {drops[1]} unreadable)",
        f"latency     p50 {p50:.1f} ms, p99 {p99:.1f} ms from stamp to detections received",
    ]
    return "\n".join(lines)


def clear(folder: Path) -> None:
    """Delete the files of an earlier recording from a folder, if there are any."""
    report = folder / REPORT
    if report.exists():
        for name in re.findall(r"^wrote +(.+)$", report.read_text(), re.MULTILINE):
            (folder / Path(name).name).unlink(missing_ok=True)
        report.unlink()


def write_pictures(recording: Recording, folder: Path) -> list[Path]:
    """Write the best picture of each of the most frequent labels, and return the paths."""
    paths = []
    for label, sighting in recording.by_frames()[:PICTURES]:
        if sighting.picture is not None:
            paths.append(folder / f"{label.lower().replace(' ', '_').replace('/', '_')}.png")
            if not cv2.imwrite(str(paths[-1]), sighting.picture):
                raise RuntimeError(f"cannot write {paths[-1]}: check that the folder is writable")
    return paths


VIDEO_RATE = 10
VIDEO_WIDTH = 640


class Video:
    """Small video with VIDEO_RATE frames per second, written while frames arrive.

    Args:
        path: Path of the video file.

    Attributes:
        frames: Number of written frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._writer: cv2.VideoWriter | None = None
        self._first = 0.0

    def add(self, picture: NDArray[np.uint8], seconds: float) -> None:
        """Add a BGR picture (H, W, 3) taken at a time in seconds, if the next frame of the video is due."""
        if self._writer is None:
            height = round(VIDEO_WIDTH * picture.shape[0] / picture.shape[1] / 2) * 2
            self._size, self._first = (VIDEO_WIDTH, height), seconds
            codec = cv2.VideoWriter.fourcc(*"VP80")
            self._writer = cv2.VideoWriter(str(self.path), codec, VIDEO_RATE, self._size)
            if not self._writer.isOpened():
                raise RuntimeError(f"cannot write {self.path}: check that OpenCV has a VP8 encoder")
        if (seconds - self._first) * VIDEO_RATE >= self.frames:
            self._writer.write(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA))
            self.frames += 1

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.release()
