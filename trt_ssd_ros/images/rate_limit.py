"""RateLimit: drops frames evenly to keep a maximum rate."""

from __future__ import annotations

from math import inf


class RateLimit:
    """Limit of the frame rate, which may change at any time.

    Frames are admitted on a grid of due times, each up to half a period early, so that a camera's jitter drops no
    frame, and a limit of 20 Hz admits two of three frames at 30 Hz. After a pause the grid restarts. Any t seconds
    admit at most t * rate + 2 frames.
    """

    def __init__(self) -> None:
        self._due = -inf
        self._period = 0.0

    def wait(self, rate: float, now: float) -> float:
        """Return the seconds until a frame is admitted; 0: now.

        Args:
            rate: Maximum frames per second; 0: no limit.
            now: Time in seconds, on a monotonic clock.
        """
        if rate == 0 or 1 / rate != self._period:
            return 0.0
        return max(0.0, self._due - self._period / 2 - now)

    def admits(self, rate: float, now: float) -> bool:
        """Return whether a frame is admitted.

        Args:
            rate: Maximum frames per second; 0: no limit.
            now: Time of the frame in seconds, on a monotonic clock.
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
