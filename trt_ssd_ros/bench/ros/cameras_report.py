"""Reports of several cameras: a table and a plot; ratios are against the first report, usually of one camera."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

from trt_ssd_ros.bench.ros.cameras import CamerasReport, CameraStreams
from trt_ssd_ros.errors import load_pyplot
from trt_ssd_ros.files import atomic_file

FULL = 0.99
"""Share of answered images below which a process is full."""
SHOWN_THREADS = 4
"""Number of kinds of threads in the table."""


def cameras_report(reports: Sequence[CamerasReport], streams: CameraStreams) -> str:
    """Return a table of the reports."""
    one = reports[0]
    lines = [
        f"cameras of {streams}, {os.cpu_count()} CPU cores, {one.objects:.1f} detections an image",
        f"{'cameras':>7}{'nodes':>7}{'answered':>10}{'least':>8}{'max/min':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'p50 / first':>13}{'p99 / first':>13}{'CPU ms an image':>17}{'/ first':>9}{'MiB':>7}{'GPU MiB':>9}"
        "  cores by thread",
    ]
    for its in reports:
        threads = ", ".join(f"{name} {share:.2f}" for name, share in list(its.threads.items())[:SHOWN_THREADS])
        lines.append(
            f"{its.cameras:7}{its.nodes:7}{its.answered:10.1%}{its.least_answered:8.1%}"
            f"{max(its.rates) / max(min(its.rates), 1e-9):9.2f}{its.latency.p50:9.2f}{its.latency.p99:9.2f}"
            f"{its.latency.p50 / one.latency.p50:13.2f}{its.latency.p99 / one.latency.p99:13.2f}"
            f"{median(its.cpu_ms):17.2f}{median(its.cpu_ms) / median(one.cpu_ms):9.2f}{its.memory_mib:7.0f}"
            f"{its.gpu_mib:9.0f}  {threads}"
        )
    return "\n".join([*lines, _filled(reports)])


def _filled(reports: Sequence[CamerasReport]) -> str:
    """Return the number of cameras that fill one process, and the thread that is busiest then."""
    shared = [its for its in reports if its.nodes == 1]
    full = next((its for its in shared if its.answered < FULL), None)
    if full is None:
        return f"one process answers {FULL:.0%} of the images of {max(its.cameras for its in shared)} cameras"
    name, share = next(iter(full.threads.items()))
    return (
        f"one process is full with {full.cameras} cameras: {full.answered:.1%} answered, "
        f"{sum(full.threads.values()):.2f} cores busy, of which {name} {share:.2f}"
    )


def plot_cameras(reports: Sequence[CamerasReport], streams: CameraStreams, machine: str, path: Path) -> None:
    """Draw latency, processor time, answered share and memory over the number of cameras, as PNG.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    pyplot = load_pyplot()
    figure, ((latency, cpu), (answered, memory)) = pyplot.subplots(2, 2, figsize=(12, 8), layout="constrained")
    figure.suptitle(f"{streams}, {reports[0].objects:.1f} detections an image\n{machine}")
    for (label, its), colour in zip(_series(reports), ("tab:blue", "tab:orange"), strict=False):
        draw = partial(_line, reports=its, color=colour)
        draw(latency, f"{label}, p50", value=lambda report: report.latency.p50)
        draw(latency, f"{label}, p99", value=lambda report: report.latency.p99, linestyle="--")
        draw(cpu, label, value=lambda report: median(report.cpu_ms))
        draw(answered, f"{label}, mean", value=lambda report: report.answered * 100)
        draw(answered, f"{label}, least", value=lambda report: report.least_answered * 100, linestyle="--")
        draw(memory, f"{label}, resident", value=lambda report: report.memory_mib)
        if not any(isnan(report.gpu_mib) for report in its):
            draw(memory, f"{label}, GPU", value=lambda report: report.gpu_mib, linestyle="--")
    latency.set(ylabel="ms", title="image published to detections received")
    cpu.set(ylabel="ms of CPU an image", title="processor time of the detectors")
    answered.set(ylabel="% of the images", title="answered")
    memory.set(ylabel="MiB", title="memory of the detectors (GPU: of all processes)")
    for axes in (latency, cpu, answered, memory):
        axes.set(
            xlabel="cameras", ylim=(0, 1.1 * axes.dataLim.y1), xticks=sorted({its.cameras for its in reports})
        )
        axes.legend(fontsize="small", loc="lower right")
    with atomic_file(path) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")
    pyplot.close(figure)


def _series(reports: Sequence[CamerasReport]) -> list[tuple[str, list[CamerasReport]]]:
    """Return the reports of one node, and those of one node a camera, which begin with the one camera of both."""
    shared = [its for its in reports if its.nodes == 1]
    separate = [its for its in reports if its.nodes == its.cameras]
    both = [("one node", shared), ("a node each", separate)]
    return both if len(separate) > 1 or (separate and separate[0].nodes > 1) else both[:1]


def _line(
    axes: Any,
    label: str,
    reports: Sequence[CamerasReport],
    value: Callable[[CamerasReport], float],
    **style: str,
) -> None:
    cameras, values = [its.cameras for its in reports], [value(its) for its in reports]
    axes.plot(cameras, values, marker="o", label=label, **style)
