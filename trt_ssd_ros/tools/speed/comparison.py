"""Two speed reports side by side."""

from __future__ import annotations

from collections.abc import Iterator

from trt_ssd_ros.bench.report import SpeedReport
from trt_ssd_ros.bench.speed import Speed


def comparison(before: SpeedReport, now: SpeedReport) -> str:
    """Return a table of the p50 of both, and what is otherwise on the machines."""
    lines = [f"{'':<46}{'before':>9}{'now':>9}{'now / before':>14}"]
    return "\n".join([*lines, *_rows(before, now), *_machines(before, now)])


def _rows(before: SpeedReport, now: SpeedReport) -> Iterator[str]:
    old, new = ({speed.subject: speed for speed in report.speeds} for report in (before, now))
    for subject in dict.fromkeys([*old, *new]):
        engine, precision, width, height, batch = subject
        name = f"{engine} {precision} {width}x{height} batch {batch}"
        times = "".join(
            f"{speeds[subject].p50:9.2f}" if subject in speeds else f"{'-':>9}" for speeds in (old, new)
        )
        judged = _judged(old[subject], new[subject]) if subject in old and subject in new else ""
        yield f"{name:<46}{times}{judged}"


def _judged(old: Speed, new: Speed) -> str:
    ratio, noise = new.p50 / old.p50, max(old.spread, new.spread)
    return f"{ratio:14.2f}" + ("" if abs(ratio - 1) > noise else f"   within the spread of {noise:.0%}")


def _machines(before: SpeedReport, now: SpeedReport) -> Iterator[str]:
    for name, value in now.machine.items():
        if before.machine.get(name) != value:
            yield f"{name} was {before.machine.get(name)}, is {value}"
