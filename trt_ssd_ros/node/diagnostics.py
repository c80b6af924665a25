"""Diagnostics: frame counts, rates, times, and Health, which compares them with limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus

from trt_ssd_ros.detection.detector import DetectorCounts
from trt_ssd_ros.node.frame_counts import UNKNOWN, FrameCounts
from trt_ssd_ros.ros.parameters import Kind, ParameterNode, ParameterSpec

WINDOW = 300
"""Number of frames in the percentiles."""


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass
class StageTimes:
    """Times of the last WINDOW frames in milliseconds.

    Attributes:
        latency: Time from the image's stamp to the published detections, on the node's clock.
        age: Time from the image's stamp until the node took the image, on the node's clock.
        engine: Time from pixels to detections.
        track: Time of tracking, while it is on.
        publish: Time from tracked detections to the published message.
    """

    latency: deque[float] = field(default_factory=_window)
    age: deque[float] = field(default_factory=_window)
    engine: deque[float] = field(default_factory=_window)
    track: deque[float] = field(default_factory=_window)
    publish: deque[float] = field(default_factory=_window)

    def clear(self) -> None:
        """Delete all times, e.g. after a jump of the clock."""
        for milliseconds in vars(self).values():
            milliseconds.clear()

    def percentiles(self) -> Mapping[str, float]:
        """Return the percentiles of every stage; see `percentiles`."""
        stages = [percentiles(stage, milliseconds) for stage, milliseconds in vars(self).items()]
        return {name: value for stage in stages for name, value in stage.items()}


def percentiles(name: str, milliseconds: Iterable[float]) -> Mapping[str, float]:
    """Return the median and the 99th percentile under the names `<name> p50 ms` and `<name> p99 ms`."""
    ordered = sorted(milliseconds)
    return {f"{name} p{percent} ms": _percentile(ordered, percent) for percent in (50, 99) if ordered}


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of values in order, as `np.percentile` does, in a tenth of the time."""
    rank = (len(ordered) - 1) * percent / 100
    below, above = ordered[int(rank)], ordered[min(int(rank) + 1, len(ordered) - 1)]
    return below + (above - below) * (rank - int(rank))


class Alert(NamedTuple):
    """One problem: its DiagnosticStatus level and its text."""

    level: bytes
    text: str


@dataclass(frozen=True)
class Readings:
    """State of the node at one moment.

    Attributes:
        state: Label of the lifecycle state.
        taking: Whether the node takes images: it is active and enabled, and not idle.
        enabled: Whether the camera takes images while the node is active, by `~/enable`.
        idle: Whether the node waits for a subscriber of its results, because of the parameter `lazy`.
        doing: Current step of opening the engine; empty otherwise.
        engine: Runtime, version and device; empty while the engine is closed.
        precision: Precision of the network, e.g. fp16.
        resize_on: Where images are resized: host or engine.
        gpu_memory: GPU memory in MiB in use by all processes; None if unknown.
        cpu_threads: Largest number of CPU threads; 0: no limit.
        input_rate: Received images per second over the last SPAN seconds.
        output_rate: Published detection arrays per second over the last SPAN seconds.
        dropped: Share of received images that were dropped or refused in the last SPAN seconds, 0 to 1.
        counts: Frame counts of the camera.
        tracks: Number of objects with an id; None while the camera is not tracked.
        untracked: Reason why the newest image was not tracked; empty if it was.
        detector: Counts of the detector.
        times: Percentiles of each stage, in ms.
        finding: Problem of the input; None if there is none.
        last_error: Text of the newest refusal or failure.
        degraded: Reason why the engine does not run as chosen; empty while it does.
    """

    state: str
    taking: bool = False
    enabled: bool = True
    idle: bool = False
    doing: str = ""
    engine: str = ""
    precision: str = ""
    resize_on: str = ""
    gpu_memory: float | None = None
    cpu_threads: int = 0
    input_rate: float = 0.0
    output_rate: float = 0.0
    dropped: float = 0.0
    counts: FrameCounts = field(default_factory=FrameCounts)
    tracks: int | None = None
    untracked: str = ""
    detector: DetectorCounts = field(default_factory=DetectorCounts)
    times: Mapping[str, float] = field(default_factory=dict)
    finding: Alert | None = None
    last_error: str = ""
    degraded: str = ""


@dataclass(frozen=True)
class Limit:
    """Pair of parameters: the limits for WARN and for ERROR; 0: no limit.

    Attributes:
        name: Name of the two parameters, after `diagnostics.warn_` and `diagnostics.error_`.
        what: Name of the limited quantity, with its unit.
        most: Largest value of the parameters.
        below: Whether values below the limit are bad, not values above it.
    """

    name: str
    what: str
    most: float
    below: bool = False

    def parameter(self, level: str) -> ParameterSpec:
        """Return the parameter of a level, `warn` or `error`."""
        side = "below" if self.below else "above"
        text = f"/diagnostics reports {level.upper()} if the {self.what} is {side} this value; 0: never"
        return ParameterSpec(f"diagnostics.{level}_{self.name}", Kind.DOUBLE, 0.0, text, 0.0, self.most)

    def alert(self, value: float, warn: float, error: float) -> Alert | None:
        """Return an alert if a value is beyond a limit, else None."""
        for level, limit in ((DiagnosticStatus.ERROR, error), (DiagnosticStatus.WARN, warn)):
            if limit and (value < limit if self.below else value > limit):
                return Alert(level, f"{self.what} is {value:.4g}, {'below' if self.below else 'above'} {limit:g}")
        return None


INPUT_RATE = Limit("input_rate", "input rate (Hz)", 1e4, below=True)
LATENCY = Limit("latency", "p99 latency (ms)", 1e6)
DROPPED = Limit("dropped", "share of dropped images", 1.0)
LIMITS = (INPUT_RATE, LATENCY, DROPPED)
LIMIT_PARAMETERS = tuple(limit.parameter(level) for limit in LIMITS for level in ("warn", "error"))


class Health:
    """Comparison of readings with limits, and report of both.

    Args:
        node: Node that declares the parameters `diagnostics.warn_*` and `diagnostics.error_*`.
    """

    def __init__(self, node: ParameterNode) -> None:
        self._node = node
        for spec in LIMIT_PARAMETERS:
            node.declare(spec)

    def judge(self, readings: Readings) -> list[Alert]:
        """Return the alerts, highest level first."""
        if not readings.taking:
            return []
        if readings.finding is not None and readings.finding.level == DiagnosticStatus.ERROR:
            return [readings.finding]
        if readings.counts.processed == 0 and not readings.degraded:
            return [Alert(DiagnosticStatus.WARN, "no image yet")]
        alerts = [
            self._compare(INPUT_RATE, readings.input_rate) if readings.counts.numbered is not False else None,
            self._compare(LATENCY, readings.times.get("latency p99 ms", 0.0)),
            self._compare(DROPPED, readings.dropped),
            Alert(DiagnosticStatus.WARN, readings.degraded) if readings.degraded else None,
            Alert(DiagnosticStatus.WARN, readings.untracked) if readings.untracked else None,
            readings.finding,
        ]
        return sorted((c for c in alerts if c is not None), key=lambda c: c.level, reverse=True)

    def _compare(self, limit: Limit, value: float) -> Alert | None:
        warn, error = (
            self._node.get_parameter(f"diagnostics.{level}_{limit.name}").value for level in ("warn", "error")
        )
        return limit.alert(value, warn, error)

    def fill(self, status: Any, readings: Readings) -> Any:
        """Fill a diagnostic_updater status wrapper, and return it."""
        alerts = self.judge(readings)
        level = alerts[0].level if alerts else DiagnosticStatus.OK
        status.summary(level, "; ".join(c.text for c in alerts) or _ok_summary(readings))
        for name, value in _values(readings).items():
            status.add(name, value)
        return status


def _ok_summary(readings: Readings) -> str:
    if readings.taking:
        return f"{readings.counts.processed} images"
    if readings.idle:
        return "idle: no topic with results has a subscriber (lazy)"
    return readings.doing or ("disabled by ~/enable" if readings.state == "active" else readings.state)


def _values(readings: Readings) -> Mapping[str, str]:
    enabled = str(readings.enabled).lower()
    values = {"state": readings.state, "enabled": enabled, "last error": readings.last_error or "none"}
    if readings.doing:
        values["doing"] = readings.doing
    if readings.engine:
        values |= {
            "engine": readings.engine,
            "precision": readings.precision,
            "resize on": readings.resize_on,
        }
    if readings.gpu_memory is not None:
        values["GPU memory MiB"] = f"{readings.gpu_memory:.0f}"
    if readings.cpu_threads:
        values["CPU threads"] = str(readings.cpu_threads)
    input_rate = UNKNOWN if readings.counts.numbered is False else f"{readings.input_rate:.2f}"
    values |= {"input Hz": input_rate, "output Hz": f"{readings.output_rate:.2f}"}
    values |= readings.counts.values()
    if readings.tracks is not None:
        values["tracks"] = str(readings.tracks)
    values |= {
        "nms finished on host": str(readings.detector.unsettled),
        "saturated": str(readings.detector.saturated),
    }
    return values | {name: f"{value:.2f}" for name, value in readings.times.items()}
