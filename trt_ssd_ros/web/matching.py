"""FrameMatcher: brings the picture and the boxes of one image together, by their stamp."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TypeVar

from trt_ssd_ros.web.protocol import Box

MOST_STAMPS = 30
"""Number of images whose boxes wait for their picture, because a preview shows only some of the images, and of
pictures that wait for their boxes, because a camera's own picture comes before its detections."""

Value = TypeVar("Value")
Distances = Mapping[Hashable, float]
"""Distance in metres by `box_key`."""


def box_key(label: str, score: float, name: str) -> Hashable:
    """Return the key by which a box and its place in 3D are one detection: both copy these values."""
    return label, score, name


@dataclass(frozen=True, eq=False)
class Detected:
    """Boxes of one image.

    Attributes:
        frame_id: Frame of the camera.
        boxes: Boxes.
    """

    frame_id: str
    boxes: Sequence[Box]


@dataclass(frozen=True, eq=False)
class Placed:
    """Distances of one image's objects.

    Attributes:
        frame_id: Frame in which the objects have their places; in another than the camera's, the distances are
            none from the camera.
        distances: Distances from the origin of the frame.
    """

    frame_id: str
    distances: Distances


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a camera.

    Attributes:
        stamp: Stamp of the image in nanoseconds; 0: none.
        jpeg: Encoded picture.
        size: Width and height of the camera's image in pixels.
    """

    stamp: int
    jpeg: bytes
    size: tuple[int, int]


class FrameMatcher:
    """Matcher of one camera.

    A picture waits for the boxes of its stamp, until those of a later picture come. If `expects_distances` is set,
    it then waits for their distances, but no longer than until the next picture comes.

    Args:
        deliver: Called with each picture and its boxes; None: the picture has no stamp.

    Attributes:
        expects_distances: Whether a node publishes distances.
        unmatched: Number of pictures whose boxes did not come.
    """

    def __init__(self, deliver: Callable[[Picture, Sequence[Box] | None], None]) -> None:
        self.expects_distances = False
        self.unmatched = 0
        self._deliver = deliver
        self._detected: dict[int, Detected] = {}
        self._placed: dict[int, Placed] = {}
        self._waiting: dict[int, Picture] = {}

    def add_boxes(self, stamp: int, detected: Detected) -> None:
        """Add the boxes of the image with a stamp in nanoseconds."""
        _keep(self._detected, stamp, detected)
        self._match()

    def add_distances(self, stamp: int, placed: Placed) -> None:
        """Add the distances of the objects in the image with a stamp in nanoseconds."""
        _keep(self._placed, stamp, placed)
        self._match()

    def add_picture(self, picture: Picture) -> None:
        """Add a picture; those before whose boxes are known are delivered without distances."""
        self._match(in_time=False)
        if picture.stamp == 0:
            self._deliver(picture, None)
            return
        self.unmatched += _keep(self._waiting, picture.stamp, picture)
        self._match()

    def _match(self, in_time: bool = True) -> None:
        for stamp in [stamp for stamp in self._waiting if stamp in self._detected]:
            placed = self._placed.pop(stamp, None)
            if placed is None and self.expects_distances and in_time:
                return
            detected = self._detected.pop(stamp)  # images that repeat a stamp need boxes of their own
            boxes = detected.boxes
            if placed is not None and placed.frame_id == detected.frame_id:
                boxes = [_with_distance(box, placed.distances) for box in boxes]
            self._deliver(self._take(stamp), boxes)

    def _take(self, stamp: int) -> Picture:
        """Return a waiting picture, and drop those before: their boxes do not come any more."""
        for earlier in list(takewhile(lambda other: other != stamp, self._waiting)):
            del self._waiting[earlier]
            self.unmatched += 1
        return self._waiting.pop(stamp)


def _with_distance(box: Box, distances: Distances) -> Box:
    return replace(box, distance=distances.get(box_key(box.label, box.score, box.id)))


def _keep(items: dict[int, Value], stamp: int, value: Value) -> bool:
    """Keep the values of the newest stamps, and return whether one was lost."""
    lost = items.pop(stamp, None) is not None
    items[stamp] = value
    if len(items) > MOST_STAMPS:
        items.pop(next(iter(items)))
        lost = True
    return lost
