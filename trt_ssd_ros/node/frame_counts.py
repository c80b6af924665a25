"""What became of every frame, and how long it took, for /diagnostics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trt_ssd_ros.detection.timing import Timing

WINDOW = 300
"""Frames that the percentiles look back on."""


@dataclass
class FrameCounts:
    """What became of every frame since the first one that arrived.

    `published = received + lost` and, once nothing is in flight,
    `received = processed + overwritten + refused + discarded + rate_limited + too_old`.

    Attributes:
        received: Given to the node by the middleware.
        processed: Detected and published.
        overwritten: Replaced by a newer one while the engine was busy.
        refused: Not readable; see the log.
        lost: Missing in the publisher's sequence numbers, so dropped by the middleware. Counted while one
            publisher is matched; several publishers' numbers cannot be told apart.
        discarded: Waiting, or in the engine, when the node was deactivated or disabled.
        rate_limited: Left out to keep to max_rate.
        too_old: Older than max_input_age when the engine was free for them.
    """

    received: int = 0
    processed: int = 0
    overwritten: int = 0
    refused: int = 0
    lost: int = 0
    discarded: int = 0
    rate_limited: int = 0
    too_old: int = 0


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass
class StageTimes:
    """Milliseconds that the last WINDOW frames took.

    Attributes:
        latency: From the image's stamp to the published detections, on the node's clock.
        age: From the image's stamp to its arrival, on the node's clock.
        wait: In the slot.
        engine: From pixels to detections.
        publish: From detections to the published message.
    """

    latency: deque[float] = field(default_factory=_window)
    age: deque[float] = field(default_factory=_window)
    wait: deque[float] = field(default_factory=_window)
    engine: deque[float] = field(default_factory=_window)
    publish: deque[float] = field(default_factory=_window)

    def clear(self) -> None:
        """Forget everything, as when the clock was set."""
        for milliseconds in vars(self).values():
            milliseconds.clear()

    def percentiles(self) -> Mapping[str, float]:
        """Return the percentiles of every stage; see `percentiles`."""
        stages = [percentiles(stage, milliseconds) for stage, milliseconds in vars(self).items()]
        return {name: value for stage in stages for name, value in stage.items()}


def percentiles(name: str, milliseconds: Iterable[float]) -> Mapping[str, float]:
    """Return the median and the 99th percentile under the names `<name> p50 ms` and `<name> p99 ms`."""
    values = list(milliseconds)
    if not values:
        return {}
    timing = Timing.of(values)
    return {f"{name} p50 ms": timing.p50, f"{name} p99 ms": timing.p99}
