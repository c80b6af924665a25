"""ImageSource: the contract of all places that images come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.images.frame import ChannelOrder

Image = NDArray[np.uint8]


class SourceError(ValueError):
    """A source cannot be opened or gives no image: says what was found and what was expected."""


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One image of a source.

    Attributes:
        index: Its number from 0; images that cannot be read are counted, too.
        name: Path of a file relative to the folder of all files, or the number or time of a frame.
        pixels: (H, W, 3) uint8; (0, 0, 3) if the image cannot be read.
        channel_order: Order of the last axis of `pixels`.
        seconds: Time of a frame in its video or recording, else None.
        problem: Reason why the image cannot be read, else empty.
    """

    index: int
    name: str
    pixels: Image
    channel_order: ChannelOrder = "bgr"
    seconds: float | None = None
    problem: str = ""

    @classmethod
    def unreadable(cls, index: int, name: str, problem: object) -> SourceImage:
        """Return an image that cannot be read."""
        return cls(index, name, np.empty((0, 0, 3), np.uint8), problem=str(problem))


Capture = Callable[[], SourceImage]
"""Decodes one image that has arrived already; an image that is not wanted need not be decoded."""


class ImageSource(ABC):
    """A sequence of images.

    Attributes:
        live: Whether images come at their own pace: an image that is not taken at once is lost.
        is_video: Whether images follow each other in time.
        count: Number of images, as far as the source knows it beforehand.
        names: Names of all images, if the source knows them beforehand, else empty.
    """

    live = False
    is_video = True
    count: int | None = None
    names: Sequence[str] = ()

    @property
    def rate(self) -> float | None:
        """Frames a second that the source itself states, else None."""
        return None

    @property
    def interruptions(self) -> int:
        """Number of times that a live source went away so far."""
        return 0

    @property
    def trouble(self) -> str:
        """Reason why no images come at present; empty if nothing is wrong."""
        return ""

    @abstractmethod
    def captures(self) -> Iterator[Capture]:
        """Go through the images from the start, each not yet decoded; a live source goes on.

        Raises:
            SourceError: The source holds no image, or is damaged.
        """

    def images(self, start: int = 0) -> Iterator[SourceImage]:
        """Decode the images from number `start` on.

        Raises:
            SourceError: The source holds no image, or is damaged.
        """
        for capture in islice(self.captures(), start, None):
            yield capture()

    def stop(self) -> None:  # noqa: B027 - most sources never wait
        """Have `captures` end soon, even while it waits; any thread may call it."""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing
        """Give the device or file back; the reading thread calls it last."""
