"""SpeedReport: results of a benchmark as a table, a JSON file and a plot; comparison of two reports."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from trt_ssd_ros.bench.speed import Speed
from trt_ssd_ros.errors import counted, load_pyplot, one_line
from trt_ssd_ros.files import atomic_file, write_atomically

HEADINGS = ("engine", "precision", "size", "batch", "p50 ms", "p90", "p99", "FPS", "spread", "CPU ms", "RSS MiB")


@dataclass(frozen=True)
class SpeedReport:
    """Results of a benchmark.

    Attributes:
        command: Command line of the benchmark.
        machine: Date, processor and Python version, and the name of the model.
        speeds: Rows of the table.
    """

    command: str
    machine: Mapping[str, str]
    speeds: Sequence[Speed]

    @classmethod
    def read(cls, path: Path) -> SpeedReport:
        """Read a report.

        Raises:
            ValueError: The file is no report.
            OSError: The file cannot be read.
        """
        try:
            content = json.loads(path.read_text())
            report = cls(content["command"], dict(content["machine"]), [Speed(**s) for s in content["speeds"]])
            if not all(isinstance(s.engine, str) and s.p50 > 0 and s.spread >= 0 for s in report.speeds):
                raise ValueError("engine, p50 or spread")
            return report
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            found = f"{path}: found no report ({type(error).__name__}: {one_line(error)})"
            raise ValueError(f"{found}, expected a file that benchmark --json wrote") from error

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        content["speeds"] = [asdict(speed) for speed in self.speeds]
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())

    def table(self) -> str:
        """Return the report as text."""
        rows = [HEADINGS, *map(_row, self.speeds)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        for speed, index in zip(self.speeds, range(1, len(lines)), strict=True):
            lines[index] += "".join(f"  {name} {watts:.1f} W" for name, watts in speed.watts.items())
            lines[index] += f"  GPU {speed.gpu_mib:.0f} MiB" if speed.gpu_mib is not None else ""
        return "\n".join([", ".join(self.machine.values()), *lines])

    def plot(self, path: Path) -> None:
        """Draw time over image size, and images per second over the batch, as PNG.

        Raises:
            RuntimeError: matplotlib is not installed.
        """
        pyplot = load_pyplot()
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5), layout="constrained")
        figure.suptitle(", ".join(self.machine.values()))
        for name, speeds in _series(self.speeds, lambda s: f"{s.engine}, {s.precision}, batch {s.batch}"):
            _line(left, name, [(s.width * s.height / 1e6, s.p50, s.p90) for s in speeds])
        for name, speeds in _series(self.speeds, lambda s: f"{s.engine}, {s.precision}, {s.width}x{s.height}"):
            right.plot([s.batch for s in speeds], [s.frames_per_s for s in speeds], "o-", label=name)
        left.set(xlabel="megapixels", ylabel="ms: p50, error bar to p90", title="time", ylim=0)
        right.set(xlabel="images per batch", ylabel="images per second", title="throughput", ylim=0)
        for axes in (left, right):
            axes.legend(fontsize="small")
        with atomic_file(path) as unfinished:
            figure.savefig(unfinished, dpi=110, format="png")
        pyplot.close(figure)


def this_machine(cpu_threads: int = 0) -> dict[str, str]:
    """Return date, processor, with the number of CPU threads unless it is 0, and Python version."""
    processors = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    processor = next(iter(sorted(processors)), platform.machine())
    limit = f"{counted(cpu_threads, 'thread')} on " if cpu_threads else ""
    return {
        "date": date.today().isoformat(),
        "processor": f"{limit}{os.cpu_count()} cores of {processor}",
        "python": f"Python {platform.python_version()}",
    }


def _row(speed: Speed) -> tuple[str, ...]:
    times = (f"{speed.p50:.2f}", f"{speed.p90:.2f}", f"{speed.p99:.2f}", f"{speed.frames_per_s:.1f}")
    size, use = f"{speed.width}x{speed.height}", (f"{speed.cpu_ms:.1f}", f"{speed.memory_mib:.0f}")
    return (speed.engine, speed.precision, size, str(speed.batch), *times, f"{speed.spread:.0%}", *use)


def _series(speeds: Sequence[Speed], name: Any) -> list[tuple[str, list[Speed]]]:
    ordered = sorted(speeds, key=name)
    return [(label, list(group)) for label, group in groupby(ordered, key=name)]


def _line(axes: Any, name: str, points: list[tuple[float, float, float]]) -> None:
    x, p50, p90 = zip(*sorted(points), strict=True)
    above = [high - middle for middle, high in zip(p50, p90, strict=True)]
    axes.errorbar(x, p50, yerr=([0] * len(above), above), fmt="o-", capsize=3, label=name)


def comparison(before: SpeedReport, now: SpeedReport) -> str:
    """Return a table of both reports' p50, and the differences between the machines."""
    lines = [f"{'':<46}{'before':>9}{'now':>9}{'now / before':>14}"]
    return "\n".join([*lines, *_rows(before, now), *_machines(before, now)])


def _rows(before: SpeedReport, now: SpeedReport) -> Iterator[str]:
    old, new = ({speed.configuration: speed for speed in report.speeds} for report in (before, now))
    for key in dict.fromkeys([*old, *new]):
        engine, precision, width, height, batch = key
        name = f"{engine} {precision} {width}x{height} batch {batch}"
        times = "".join(f"{speeds[key].p50:9.2f}" if key in speeds else f"{'-':>9}" for speeds in (old, new))
        ratio = _ratio(old[key], new[key]) if key in old and key in new else ""
        yield f"{name:<46}{times}{ratio}"


def _ratio(old: Speed, new: Speed) -> str:
    ratio, noise = new.p50 / old.p50, max(old.spread, new.spread)
    return f"{ratio:14.2f}" + ("" if abs(ratio - 1) > noise else f"   within the spread of {noise:.0%}")


def _machines(before: SpeedReport, now: SpeedReport) -> Iterator[str]:
    for name, value in now.machine.items():
        if before.machine.get(name) != value:
            yield f"{name}: {before.machine.get(name)} before, {value} now"
