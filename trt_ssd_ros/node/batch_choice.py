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
        turns = sorted(ready, key=lambda source: self._served.get(source.receiver, 0))
        alike = [source for source in turns if source.receiver.batch_key == turns[0].receiver.batch_key]
        chosen = self._fitting(alike)
        self._batches += 1
        self._served.update((source.receiver, self._batches) for source in chosen)
        return chosen

    def _fitting(self, sources: Sequence[CameraInput]) -> list[CameraInput]:
        """Return the first inputs whose views fit into a batch, at least one."""
        totals = accumulate(source.receiver.views for source in sources)
        fitting = sum(total <= self._room() for total in totals)
        return list(sources[: max(1, fitting)])
