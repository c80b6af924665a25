"""BatchChoice: the cameras whose images run in the next batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from trt_ssd_ros.node.channel_input import Receiver


class CameraInput(Protocol):
    """Input of the executor that belongs to a camera."""

    @property
    def receiver(self) -> Receiver:
        """Channel of the camera."""


class BatchChoice:
    """Choice among the cameras that have an image: the one served longest ago, and all that fit into its batch.

    The others keep their slots, so that their next batch has newer images: an image never waits beside the engine
    while other batches run. A camera is served when it is taken from, even if its image is unreadable; otherwise a
    camera that sends only such images would always go first.

    Args:
        room: Function that returns the largest batch in views.
    """

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._batches = 0
        self._served: dict[Receiver, int] = {}

    def __call__(self, ready: Sequence[CameraInput]) -> list[CameraInput]:
        """Return the inputs to take from now, one batch at most."""
        chosen = list(ready) if len(ready) == 1 else self._fitting(ready)
        self._batches += 1
        for source in chosen:
            self._served[source.receiver] = self._batches
        return chosen

    def _fitting(self, ready: Sequence[CameraInput]) -> list[CameraInput]:
        """Return the inputs served longest ago that can be in one batch and fit into it, at least one."""
        turns = sorted(ready, key=lambda source: self._served.get(source.receiver, 0))
        alike = [source for source in turns if source.receiver.batch_key == turns[0].receiver.batch_key]
        totals = accumulate(source.receiver.views for source in alike)
        fitting = sum(total <= self._room() for total in totals)
        return alike[: max(1, fitting)]
