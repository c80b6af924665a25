"""EngineSizes: the image sizes that an engine resizes, because it prepares each of them."""

from __future__ import annotations

from math import inf

UNUSED = 10_000
"""Number of images after which a size that did not come among them makes room for another one."""


class EngineSizes:
    """Image sizes that the engine resizes: those that came first, as many as it keeps prepared.

    To prepare a size takes as long as a hundred images, and TensorRT for RTX leaks memory each time. So a size
    beyond those is left to the host, instead of taking turns with the others in the engine.

    Args:
        most: Most sizes; by default no limit.
    """

    def __init__(self, most: float = inf) -> None:
        self._most = most
        self._images = 0
        self._last: dict[tuple[int, int], int] = {}

    def admits(self, size: tuple[int, int]) -> bool:
        """Return whether the engine resizes an image of this height and width; call it once for each image."""
        self._images += 1
        if size not in self._last and len(self._last) == self._most:
            oldest = min(self._last, key=self._last.__getitem__)
            if self._images - self._last[oldest] <= UNUSED:
                return False
            del self._last[oldest]
        self._last[size] = self._images
        return True
