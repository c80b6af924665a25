"""Disturbances: the latency of a detector's other cameras while one camera fails, bursts or sends nonsense."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType

from trt_ssd_ros.bench.ros.camera_paths import SETTLING, DetectionListener
from trt_ssd_ros.bench.ros.cameras import (
    CameraStreams,
    await_all,
    camera_process,
    detector_process,
    rig_listener,
)
from trt_ssd_ros.bench.ros.node import spinning
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.process import ros_context

DISTURBANCES: Mapping[str, Mapping[str, str] | None] = MappingProxyType(
    {
        "absent": None,
        "3840x2160": {"width": "3840", "height": "2160"},
        "10 images at once": {"burst": "10"},
        "unknown encoding": {"encoding": "nonsense"},
    }
)
"""Changed parameters of the disturbing camera by the kind of disturbance; None: the camera has been killed."""

RATE_STEP = 0.02
"""Share by which the rate of each camera is lower than that of the one before.

Cameras of equal rates keep the order in which they happened to start, and that decides which of them wait.
"""


@dataclass(frozen=True)
class Disturbance:
    """Latency of the other cameras, in milliseconds from published image to received detections.

    Attributes:
        steady: Latency right before, while all cameras are alike.
        disturbed: Latency during the disturbance.
    """

    steady: Timing
    disturbed: Timing


def measure_disturbances(
    cameras: int, parameters: Mapping[str, str], streams: CameraStreams
) -> dict[str, Disturbance]:
    """Measure one node with some cameras, of which the last one is replaced for each disturbance.

    The processes of the other cameras and the node keep running.

    Args:
        cameras: Number of cameras, at least 2.
        parameters: Parameters of the detector.
        streams: Images of the first camera; see RATE_STEP. Each phase takes `streams.seconds`.

    Raises:
        RuntimeError: A camera has no detections.
    """
    names = [f"camera{number}" for number in range(cameras)]
    images = [replace(streams, rate=streams.rate * (1 - RATE_STEP) ** number) for number in range(cameras)]
    last = names[-1]
    with ros_context([]) as ros, ExitStack() as stack:
        for name, other in zip(names[:-1], images, strict=False):
            stack.enter_context(camera_process(name, other))
        detector = stack.enter_context(detector_process(names, parameters))
        listener = ros.add(rig_listener(names))
        stack.enter_context(spinning(ros.executor))
        found = {}
        for kind, changes in DISTURBANCES.items():
            listener.answers[last].first.clear()
            with camera_process(last, images[-1]) as camera:
                await_all(listener, [detector])
                steady = _others(listener, last, streams.seconds)
                if changes is None:
                    camera.kill()
                    found[kind] = Disturbance(steady, _others(listener, last, streams.seconds))
            if changes is not None:
                listener.answers[last].first.clear()
                with camera_process(last, images[-1], changes):
                    if "encoding" not in changes:
                        await_all(listener, [detector])
                    found[kind] = Disturbance(steady, _others(listener, last, streams.seconds))
        return found
    raise RuntimeError("interrupted")


def _others(listener: DetectionListener, last: str, seconds: float) -> Timing:
    """Return the latency of all cameras but the last one, after the start or end of its process."""
    time.sleep(SETTLING + 1.0)
    listener.forget()
    time.sleep(seconds)
    others = (list(answers.latencies) for name, answers in listener.answers.items() if name != last)
    return Timing.of(list(chain.from_iterable(others)) or [float("nan")])


def disturbances_report(found: Mapping[str, Disturbance], cameras: int) -> str:
    """Return a table of the disturbances."""
    lines = [
        f"latency of {cameras - 1} cameras, the last one being",
        f"{'':<20}{'p50 ms':>9}{'before':>9}{'ratio':>7}{'p99 ms':>9}{'before':>9}{'ratio':>7}",
    ]
    for kind, its in found.items():
        now, before = its.disturbed, its.steady
        lines.append(
            f"{kind:<20}{now.p50:9.2f}{before.p50:9.2f}{now.p50 / before.p50:7.2f}"
            f"{now.p99:9.2f}{before.p99:9.2f}{now.p99 / before.p99:7.2f}"
        )
    return "\n".join(lines)
