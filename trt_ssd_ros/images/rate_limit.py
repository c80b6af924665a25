"""RateLimit: at most so many frames a second, evenly chosen."""

from __future__ import annotations

from math import inf


class RateLimit:
    """Admits frames at a rate that may change at any time.

    Admissions keep to a grid of due times, each frame up to half a period before its own, so that a camera's
    jitter drops nothing, and 20 of 30 frames a second are two of every three. After a pause the grid starts
    anew. No t seconds admit more than t * rate + 2.
    """

    def __init__(self) -> None:
        self._due = -inf
        self._period = 0.0

    def wait(self, rate: float, now: float) -> float:
        """Return the seconds until a frame is admitted; 0: one is admitted now.

        Args:
            rate: Most frames a second; 0 for all.
            now: Time in seconds, on a clock that does not jump.
        """
        if rate == 0 or 1 / rate != self._period:
            return 0.0
        return max(0.0, self._due - self._period / 2 - now)

    def admits(self, rate: float, now: float) -> bool:
        """Tell whether a frame is admitted.

        Args:
            rate: Most frames a second; 0 for all.
            now: Time of the frame in seconds, on a clock that does not jump.
        """
        if rate == 0:
            return True
        period = 1 / rate
        if period != self._period:
            self._due, self._period = -inf, period
        if self.wait(rate, now) > 0:
            return False
        paused = now > self._due + 2 * period
        self._due = (now if paused else max(self._due, now - period / 2)) + period
        return True
