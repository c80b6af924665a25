"""Runs the detector node on the GPU, and breaks the GPU's context before the third image."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from gpu_fault import break_gpu

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.tensorrt_engine import TensorRtEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.ros.process import spin_node

BROKEN_AT = 3
run = TensorRtEngine.run
images = itertools.count(-1)  # the first one warms up


def run_or_break(self: TensorRtEngine, inputs: Tensors) -> Tensors:
    """Run the graph, on a broken GPU from the third image on."""
    if next(images) == BROKEN_AT:
        with self._device.bound():
            break_gpu()
    return run(self, inputs)


def open_breaking(card: ModelCard, _: EngineChoice, *rest: object) -> Detector:
    """Open the detector on TensorRT in fp32."""
    TensorRtEngine.run = run_or_break  # type: ignore[method-assign]
    return open_detector(card, EngineChoice("tensorrt", "fp32"), *rest)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(spin_node(lambda: DetectorNode(open_engine=open_breaking)))
