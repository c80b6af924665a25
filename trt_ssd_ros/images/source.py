"""ImageSource: interface of all image sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Event

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.images.frame import ChannelOrder

Image = NDArray[np.uint8]


class SourceError(ValueError):
    """Source that cannot be opened or has no image; the message says what was found and what was expected."""


class AbsentSourceError(SourceError):
    """Webcam, stream or pipeline that cannot be opened at present, but perhaps later."""


class SourceSettingError(SourceError):
    """Setting that does not fit the source, so that opening the source again is useless."""


@dataclass(frozen=True, eq=False)
class SourceImage:
    """Image of a source.

    Attributes:
        index: Number of the image from 0; unreadable images count, too.
        name: Path of a file relative to the common folder of all files, or number or time of a frame.
        pixels: Image (H, W, 3) uint8; (0, 0, 3) if the image cannot be read. It is smaller than the whole image
            if the source may reduce images; see `ImageSource.allow_reduced`.
        channel_order: Order of the last axis of `pixels`.
        seconds: Time of a frame in its video or recording, in seconds; None for image files.
        problem: Reason why the image cannot be read; empty if it can.
        whole_size: Height and width in pixels of the whole image; None: those of `pixels`.
    """

    index: int
    name: str
    pixels: Image
    channel_order: ChannelOrder = "bgr"
    seconds: float | None = None
    problem: str = ""
    whole_size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the whole image."""
        return self.whole_size or (self.pixels.shape[0], self.pixels.shape[1])

    @classmethod
    def unreadable(cls, index: int, name: str, problem: object) -> SourceImage:
        """Return an image that cannot be read."""
        return cls(index, name, np.empty((0, 0, 3), np.uint8), problem=str(problem))


Capture = Callable[[], SourceImage]
"""Function that decodes an image after it has arrived, so that a skipped image costs no decoding."""


class ImageSource(ABC):
    """Sequence of images.

    Attributes:
        live: Whether images arrive at their own pace, so that an image that is not read at once is lost.
        is_video: Whether images follow each other in time.
        count: Number of images if known before reading, else None.
        names: Names of all images if known before reading, else empty.
    """

    live = False
    is_video = True
    count: int | None = None
    names: Sequence[str] = ()

    @property
    def rate(self) -> float | None:
        """Frames per second that the source states; None if unknown."""
        return None

    @property
    def interruptions(self) -> int:
        """Number of interruptions of a live source so far."""
        return 0

    @property
    def trouble(self) -> str:
        """Reason why no images arrive at present; empty if images arrive."""
        return ""

    def open(self) -> None:  # noqa: B027 - files are open from the start
        """Open the device or connection of a live source; other sources are open from the start.

        Raises:
            AbsentSourceError: The source cannot be opened at present.
        """

    @abstractmethod
    def captures(self) -> Iterator[Capture]:
        """Iterate over the images, undecoded, from the start; a live source continues.

        Raises:
            SourceError: The source holds no image, or is damaged.
        """

    def images(self, start: int = 0) -> Iterator[SourceImage]:
        """Iterate over the decoded images from index `start`.

        Raises:
            SourceError: The source holds no image, or is damaged.
        """
        for capture in islice(self.captures(), start, None):
            yield capture()

    def allow_reduced(self, width: int, height: int) -> None:  # noqa: B027 - most sources have one size only
        """Allow the source to decode images smaller than they are, if that is cheaper.

        Args:
            width: Least width in pixels of a reduced image.
            height: Least height in pixels of a reduced image.
        """

    def stop_on(self, event: Event) -> None:  # noqa: B027 - most sources never wait
        """Make `open` and `captures` end soon after an event is set, even while they wait."""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing
        """Release the device or file; the reading thread calls it last."""
