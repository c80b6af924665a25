"""Reference nodes for the benchmarks: an echo node, detectors with a known inference time, one as in 2020.

python -m trt_ssd_ros.bench.ros.reference_nodes NAME [--ros-args ...], with a NAME of NODES
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.bench.tutorial import on_the_cpu
from trt_ssd_ros.camera.composed import create_nodes
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors, TensorSpec
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.shipped import DEFAULT_MODEL, model_card_path
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.ros.process import FailableNode, spin_nodes, unless_shut_down
from trt_ssd_ros.ros.transport import newest_image


@lru_cache
def _empty_slots(batch: int) -> Tensors:
    return {
        "boxes": np.zeros((batch, 4, 4), np.float32),
        "scores": np.zeros((batch, 4), np.float32),
        "class_ids": np.zeros((batch, 4), np.int32),
        "keep": np.zeros((batch, 4), np.uint8),
        "settled": np.ones(batch, np.uint8),
    }


SLOW_SECONDS = 0.5
"""Shortest inference of the slow detector, in seconds."""


class EchoNode(FailableNode):
    """Minimal node: answers each image with no detections, and its arrival time in nanoseconds as frame id."""

    def __init__(self) -> None:
        super().__init__("echo")
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self.create_subscription(Image, "image", self._answer, newest_image())

    def _answer(self, message: Image) -> None:
        arrival = str(self.get_clock().now().nanoseconds)
        self._publisher.publish(Detection2DArray(header=Header(stamp=message.header.stamp, frame_id=arrival)))


class TutorialNode(FailableNode):
    """Node of the 2020-era tutorials: detects in the callback of the image, with the default quality of service.

    It publishes messages of as many empty detections as it finds.
    """

    def __init__(self) -> None:
        super().__init__("tutorial")
        model = self.declare_parameter("model", DEFAULT_MODEL).value
        self._pipeline = on_the_cpu(ModelCard.load(model_card_path(model)))
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self.create_subscription(Image, "image", self._detect, 10)

    def _detect(self, message: Image) -> None:
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        found = self._pipeline.detect(pixels)
        detections = [Detection2D(header=message.header) for _ in range(found)]
        with unless_shut_down(self.context):
            self._publisher.publish(Detection2DArray(header=message.header, detections=detections))


class BlankEngine:
    """Engine that finds nothing, in no time."""

    name = kind = "blank engine"
    precision = "fp32"
    inputs: Mapping[str, TensorSpec] = {"image": TensorSpec(np.dtype(np.uint8), ("N", "H", "W", 3))}

    def run(self, inputs: Tensors) -> Tensors:
        """Return empty slots for every image."""
        return _empty_slots(len(inputs["image"]))

    def memory_used(self) -> None:
        """Return None: nothing runs."""

    def close(self) -> None:
        """Do nothing."""


PACE = 0.01
"""Time of an inference of the paced detector, in seconds."""


class PacedEngine(BlankEngine):
    """Engine that sleeps for PACE, as while a GPU works, and finds the same four objects."""

    name = kind = "paced engine"

    def run(self, inputs: Tensors) -> Tensors:
        """Return the objects for every image."""
        time.sleep(PACE)
        return _four_objects(len(inputs["image"]))


@lru_cache
def _four_objects(batch: int) -> Tensors:
    corners = np.array([0.1, 0.3, 0.5, 0.7], np.float32)
    boxes = np.stack([corners, corners, corners + 0.2, corners + 0.2], axis=1)
    return {
        "boxes": np.repeat(boxes[None], batch, axis=0),
        "scores": np.full((batch, 4), 0.9, np.float32),
        "class_ids": np.tile(np.arange(4, dtype=np.int32), (batch, 1)),
        "keep": np.ones((batch, 4), np.uint8),
        "settled": np.ones(batch, np.uint8),
    }


class SlowEngine(OnnxRuntimeEngine):
    """Engine that repeats each inference for SLOW_SECONDS, to keep the processor fully busy."""

    def run(self, inputs: Tensors) -> Tensors:
        """Return the outputs of the last repetition."""
        end = time.perf_counter() + SLOW_SECONDS
        while True:
            outputs = super().run(inputs)
            if time.perf_counter() >= end:
                return outputs


def open_blank(card: ModelCard, choice: EngineChoice, *_: object) -> Detector:
    """Open a detector that finds nothing, in no time."""
    detector = Detector(BlankEngine(), card)
    detector.resize_on = "host" if choice.resize_on == "host" else "engine"
    return detector


def open_paced(card: ModelCard, *_: object) -> Detector:
    """Open a detector that finds four objects after PACE."""
    detector = Detector(PacedEngine(), card)
    detector.resize_on = "host"
    return detector


def open_slow(card: ModelCard, *_: object) -> Detector:
    """Open a detector that takes SLOW_SECONDS for an image."""
    return Detector(SlowEngine(compose(load_network(card), card)), card)


NODES: Mapping[str, Callable[[], Iterable[FailableNode]]] = {
    "echo": lambda: [EchoNode()],
    "blank": lambda: [DetectorNode(open_blank)],
    "paced": lambda: [DetectorNode(open_paced)],
    "composed_blank": lambda: create_nodes(open_blank),
    "slow": lambda: [DetectorNode(open_slow)],
    "tutorial": lambda: [TutorialNode()],
}


def main(args: Sequence[str] | None = None) -> int:
    """Run one of NODES; the first argument is its name."""
    name, *rest = sys.argv[1:] if args is None else args
    return spin_nodes(NODES[name], [sys.argv[0], *rest])


if __name__ == "__main__":
    sys.exit(main())
