"""Runs the detector node with a real but slow engine: ENGINE_DELAY seconds are added to every run, OPEN_DELAY
seconds to its start. Prints a line at the start of either. With ENGINE_FAILS set, runs fail instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors, TensorSpec
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.ros.process import spin_node


class SlowEngine(OnnxRuntimeEngine):
    """ONNX Runtime that takes its time."""

    inputs: Mapping[str, TensorSpec]

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph, late."""
        print("the engine runs", flush=True)
        time.sleep(float(os.environ["ENGINE_DELAY"]))
        if "ENGINE_FAILS" in os.environ:
            raise RuntimeError("the engine is broken")
        return super().run(inputs)

    def close(self) -> None:
        """Say so."""
        print("the engine is closed", flush=True)


def open_slowly(card: ModelCard, *_: object) -> Detector:
    """Open the detector of a card on a slow engine."""
    print("the engine opens", flush=True)
    time.sleep(float(os.environ.get("OPEN_DELAY", "0")))
    return Detector(SlowEngine(compose(load_network(card), card)), card)


if __name__ == "__main__":
    sys.exit(spin_node(lambda: DetectorNode(open_engine=open_slowly)))
