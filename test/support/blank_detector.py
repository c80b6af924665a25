"""Runs the detector node with an engine that finds nothing, at once, and does what the folder RIG tells it.

While RIG/hold_open exists the engine waits with opening, while RIG/hold_run exists with running, and while
RIG/hold_close exists with closing. Where RIG/fail_open exists opening raises RuntimeError with its text; where
RIG/bug_open exists, KeyError; where RIG/fail_close exists closing raises RuntimeError. Each step prints a line.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from trt_ssd_ros.bench.ros.reference_nodes import BlankEngine
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.engines.build_progress import BuildProgress
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.ros.process import spin_node

RIG = Path(os.environ["RIG"])


def say(text: str) -> None:
    print(text, flush=True)


def hold(name: str, cancelled: object = None) -> None:
    while (RIG / name).exists():
        if callable(cancelled) and cancelled():
            raise RuntimeError("the build was cancelled")
        time.sleep(0.01)


class RiggedEngine(BlankEngine):
    """Finds nothing, when it is let."""

    def run(self, inputs: Tensors) -> Tensors:
        say("the engine runs")
        hold("hold_run")
        return super().run(inputs)

    def close(self) -> None:
        hold("hold_close")
        say("the engine is closed")
        if (RIG / "fail_close").exists():
            raise RuntimeError("the GPU does not let go")


def open_rigged(card: ModelCard, choice: EngineChoice, _samples: object, progress: BuildProgress) -> Detector:
    say("the engine opens")
    progress.report("building something", 0.5)
    hold("hold_open", progress.cancelled)
    if (RIG / "fail_open").exists():
        raise RuntimeError((RIG / "fail_open").read_text())
    if (RIG / "bug_open").exists():
        raise KeyError("a bug")
    detector = Detector(RiggedEngine(), card)
    detector.resize_on = "host" if choice.resize_on == "host" else "engine"
    return detector


if __name__ == "__main__":
    sys.exit(spin_node(lambda: DetectorNode(open_engine=open_rigged)))
