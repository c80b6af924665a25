"""Acknowledgements of a viewer that is no browser, as in web/page/acknowledgements.js."""

from __future__ import annotations

import math

QUICK_SECONDS = 0.05


class Acknowledgements:
    """Acknowledgements of one camera: of every second frame if frames come quickly and none is skipped."""

    def __init__(self) -> None:
        self._newest = -math.inf
        self._held = False

    def due(self, now: float, skipped: bool = False) -> int:
        """Return how many drawn frames to acknowledge when one is drawn; 0: with the next.

        Args:
            now: Time in seconds.
            skipped: Whether frames before it came and were not drawn.
        """
        if not self._held and not skipped and now - self._newest < QUICK_SECONDS:
            self._held = True
            return 0
        drawn = 1 + self._held
        self._held, self._newest = False, now
        return drawn
