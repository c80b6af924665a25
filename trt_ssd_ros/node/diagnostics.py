"""Diagnostics: counts, rates and times of images, and Health, which judges them by limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus

from trt_ssd_ros.detection.detector import DetectorCounts
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.parameters import ExplainedNode, Kind, ParameterSpec

WINDOW = 300
"""Frames that the percentiles look back on."""


UNKNOWN = "unknown"
"""Value of counts that the middleware gives no numbers for."""


@dataclass
class FrameCounts:
    """Counts of one camera's images since the first one that was taken.

    While one publisher is matched, from the first to the last image taken in one subscription and once nothing is
    in the engine: `published = processed + dropped + refused + discarded + rate_limited + too_old`.

    Attributes:
        taken: Taken from the middleware.
        processed: Detected and published.
        dropped: Replaced by a newer one before the engine was free, or lost by the middleware.
        refused: Not readable; the log says why.
        discarded: In the engine when the node was deactivated or disabled.
        rate_limited: Left in the middleware since max_rate began to hold the camera back.
        too_old: Older than max_input_age when they were taken.
        numbered: Whether the middleware numbers images (Fast DDS does, from Jazzy on); else the number of those
            that were not taken is unknown. None before the first image.
    """

    taken: int = 0
    processed: int = 0
    dropped: int = 0
    refused: int = 0
    discarded: int = 0
    rate_limited: int = 0
    too_old: int = 0
    numbered: bool | None = None

    @property
    def received(self) -> int:
        """Images that reached the middleware of this node, as far as it numbers them."""
        return self.taken + self.dropped + self.rate_limited

    def add(self, name: str, number: int) -> None:
        """Raise a count."""
        setattr(self, name, getattr(self, name) + number)

    def values(self) -> Mapping[str, str]:
        """Return the counts as /diagnostics shows them."""
        names = ("received", "processed", "dropped", "refused", "discarded", "rate_limited", "too_old")
        values = {name: str(getattr(self, name)) for name in names}
        unknown = {"dropped", "rate_limited"} if self.numbered is False else ()
        return values | dict.fromkeys(unknown, UNKNOWN)


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass
class StageTimes:
    """Milliseconds that the last WINDOW frames took.

    Attributes:
        latency: From the image's stamp to the published detections, on the node's clock.
        age: From the image's stamp to taking it, on the node's clock.
        engine: From pixels to detections.
        publish: From detections to the published message.
    """

    latency: deque[float] = field(default_factory=_window)
    age: deque[float] = field(default_factory=_window)
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


SPAN = 5.0
"""Seconds that rates look back on."""


class RecentCounts:
    """Remembers the counts of the last SPAN seconds and tells their growth; begins anew when time goes back."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, FrameCounts]] = deque()

    def add(self, now: float, counts: FrameCounts) -> None:
        """Take the counts of now, in seconds on any clock."""
        if self._counts and now < self._counts[-1][0]:
            self._counts.clear()
        if len(self._counts) > 1 and now == self._counts[-1][0]:
            self._counts.pop()
        self._counts.append((now, replace(counts)))
        while len(self._counts) > 2 and self._counts[1][0] <= now - SPAN:
            self._counts.popleft()

    def rate(self, name: str) -> float:
        """Return by how much a count grew a second."""
        seconds = self._counts[-1][0] - self._counts[0][0] if self._counts else 0.0
        return self._growth(name) / seconds if seconds > 0 else 0.0

    def dropped(self) -> float:
        """Return the share of the received images that came to nothing, 0 to 1."""
        received = self._growth("received")
        dropped = self._growth("dropped") + self._growth("refused")
        return min(dropped / received, 1.0) if received else 0.0

    def _growth(self, name: str) -> int:
        if not self._counts:
            return 0
        return int(getattr(self._counts[-1][1], name) - getattr(self._counts[0][1], name))


class Complaint(NamedTuple):
    """Something that is not as it should be, and the DiagnosticStatus level that it deserves."""

    level: bytes
    text: str


@dataclass(frozen=True)
class Readings:
    """State of the node at one moment.

    Attributes:
        state: Label of the lifecycle state.
        taking: Whether it takes images: active and enabled.
        doing: What is being done to open the engine; empty otherwise.
        engine: Runtime, version and device; empty while it is closed.
        precision: What the network is computed in.
        gpu_memory: MiB of GPU memory in use by everybody; None where nobody can tell.
        input_rate: Images received a second, lately.
        output_rate: Detections published a second, lately.
        dropped: Share of the received images that came to nothing, lately, 0 to 1.
        counts: Counts of the camera's images.
        detector: Counts of the detector.
        times: Percentiles of each stage, in ms.
        finding: What is wrong with the input; None if nothing is.
        last_error: The newest refusal or failure.
    """

    state: str
    taking: bool = False
    doing: str = ""
    engine: str = ""
    precision: str = ""
    gpu_memory: float | None = None
    input_rate: float = 0.0
    output_rate: float = 0.0
    dropped: float = 0.0
    counts: FrameCounts = field(default_factory=FrameCounts)
    detector: DetectorCounts = field(default_factory=DetectorCounts)
    times: Mapping[str, float] = field(default_factory=dict)
    finding: Complaint | None = None
    last_error: str = ""


@dataclass(frozen=True)
class Limit:
    """Where a reading begins to be a warning, and where an error; 0: never.

    Attributes:
        name: Of the two parameters, after `diagnostics.warn_` and `diagnostics.error_`.
        what: What is limited, with its unit.
        most: The highest limit that makes sense.
        below: Whether low readings are bad, rather than high ones.
    """

    name: str
    what: str
    most: float
    below: bool = False

    def parameter(self, level: str) -> ParameterSpec:
        """Return the parameter that sets it for `warn` or `error`."""
        side = "below" if self.below else "above"
        text = f"/diagnostics says {level.upper()} where the {self.what} is {side} this; 0: never"
        return ParameterSpec(f"diagnostics.{level}_{self.name}", Kind.DOUBLE, 0.0, text, 0.0, self.most)

    def complaint(self, value: float, warn: float, error: float) -> Complaint | None:
        """Compare a reading with its limits."""
        for level, limit in ((DiagnosticStatus.ERROR, error), (DiagnosticStatus.WARN, warn)):
            if limit and (value < limit if self.below else value > limit):
                return Complaint(
                    level, f"{self.what} is {value:.4g}, {'below' if self.below else 'above'} {limit:g}"
                )
        return None


INPUT_RATE = Limit("input_rate", "input rate (Hz)", 1e4, below=True)
LATENCY = Limit("latency", "p99 latency (ms)", 1e6)
DROPPED = Limit("dropped", "share of dropped images", 1.0)
LIMITS = (INPUT_RATE, LATENCY, DROPPED)
LIMIT_PARAMETERS = tuple(limit.parameter(level) for limit in LIMITS for level in ("warn", "error"))


class Health:
    """Judges readings by limits that are parameters, and reports both.

    Args:
        node: Gets the parameters `diagnostics.warn_*` and `diagnostics.error_*`.
    """

    def __init__(self, node: ExplainedNode) -> None:
        self._node = node
        for spec in LIMIT_PARAMETERS:
            node.declare(spec)

    def judge(self, readings: Readings) -> list[Complaint]:
        """Return what is wrong, worst first."""
        if not readings.taking:
            return []
        if readings.finding is not None and readings.finding.level == DiagnosticStatus.ERROR:
            return [readings.finding]
        if readings.counts.processed == 0:
            return [Complaint(DiagnosticStatus.WARN, "no image yet")]
        complaints = [
            self._compare(INPUT_RATE, readings.input_rate) if readings.counts.numbered is not False else None,
            self._compare(LATENCY, readings.times.get("latency p99 ms", 0.0)),
            self._compare(DROPPED, readings.dropped),
            readings.finding,
        ]
        return sorted((c for c in complaints if c is not None), key=lambda c: c.level, reverse=True)

    def _compare(self, limit: Limit, value: float) -> Complaint | None:
        warn, error = (
            self._node.get_parameter(f"diagnostics.{level}_{limit.name}").value for level in ("warn", "error")
        )
        return limit.complaint(value, warn, error)

    def fill(self, status: Any, readings: Readings) -> Any:
        """Fill a diagnostic_updater status wrapper."""
        complaints = self.judge(readings)
        level = complaints[0].level if complaints else DiagnosticStatus.OK
        status.summary(level, "; ".join(c.text for c in complaints) or _good_news(readings))
        for name, value in _values(readings).items():
            status.add(name, value)
        return status


def _good_news(readings: Readings) -> str:
    if readings.taking:
        return f"{readings.counts.processed} images"
    return readings.doing or ("disabled by ~/enable" if readings.state == "active" else readings.state)


def _values(readings: Readings) -> Mapping[str, str]:
    values = {"state": readings.state, "last error": readings.last_error or "none"}
    if readings.doing:
        values["doing"] = readings.doing
    if readings.engine:
        values |= {"engine": readings.engine, "precision": readings.precision}
    if readings.gpu_memory is not None:
        values["GPU memory MiB"] = f"{readings.gpu_memory:.0f}"
    input_rate = UNKNOWN if readings.counts.numbered is False else f"{readings.input_rate:.2f}"
    values |= {"input Hz": input_rate, "output Hz": f"{readings.output_rate:.2f}"}
    values |= readings.counts.values()
    values |= {
        "nms finished on host": str(readings.detector.unsettled),
        "saturated": str(readings.detector.saturated),
    }
    return values | {name: f"{value:.2f}" for name, value in readings.times.items()}
