"""ImageSource: where images come from, and what all such places have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Capture = Callable[[], Image | None]
"""Decodes one image that is already here; None: it cannot be read and is passed over."""


class SourceError(ValueError):
    """A source cannot be opened or gives no image: says what was found and what was expected."""


class ImageSource(ABC):
    """A sequence of BGR images (H, W, 3) uint8 that may be run through more than once.

    Attributes:
        live: Whether it delivers at its own pace, and what is not taken at once is lost.
    """

    live = False

    @property
    def rate(self) -> float | None:
        """Frames a second that the source itself names, if it does."""
        return None

    @property
    def position(self) -> float | None:
        """Seconds from the start of the video to the image that came last, if the source knows."""
        return None

    @property
    def passed_over(self) -> int:
        """Images that could not be read, so far."""
        return 0

    @property
    def interruptions(self) -> int:
        """How often it went away, so far."""
        return 0

    @property
    def trouble(self) -> str:
        """Why no images come at present; empty if nothing is wrong."""
        return ""

    @abstractmethod
    def captures(self) -> Iterator[Capture]:
        """Go through the images from the start, each not yet decoded; a live source just goes on.

        Raises:
            SourceError: There is not a single image.
        """

    def images(self) -> Iterator[Image]:
        """Go through the images from the start; a live source just goes on.

        Raises:
            SourceError: There is not a single image.
        """
        for capture in self.captures():
            image = capture()
            if image is not None:
                yield image

    def stop(self) -> None:  # noqa: B027 - most never wait
        """Have `captures` end soon, even where it waits; any thread may call it."""

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give the device or file back, once nobody reads."""


def begin_at(start: int, there: int) -> None:
    """Check where to begin.

    Raises:
        SourceError: There are not so many images.
    """
    if start >= there > 0:
        raise SourceError(f"start: found {start}, expected less than the source's {there} images")
