"""Acknowledgements of a viewer that is no browser, as in web/page/acknowledgements.js."""

from __future__ import annotations

import math

QUICK_SECONDS = 0.05


class Acknowledgements:
    """Acknowledgements of one camera: of every second frame if frames follow quickly, else of every frame."""

    def __init__(self) -> None:
        self._newest = -math.inf
        self._held = False

    def is_due(self, now: float) -> bool:
        """Return whether to acknowledge a frame that is drawn at `now`, in seconds; if not, the next one is."""
        self._held = not self._held and now - self._newest < QUICK_SECONDS
        if not self._held:
            self._newest = now
        return not self._held
