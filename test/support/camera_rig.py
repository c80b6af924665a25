"""A detector node of several cameras in the test's own process, with an engine that tells pictures apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import Queue
from threading import Semaphore
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from probe import PATIENCE, Probe
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from ros_fixtures import ros_arguments
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from trt_ssd_ros.bench.ros.node import spinning
from trt_ssd_ros.bench.ros.reference_nodes import BlankEngine
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.detector_node import DetectorNode
from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.ros.process import new_executor

SIDE = 8
"""Height and width of a picture in pixels."""
QOS = QoSProfile(depth=1)


def picture(camera: int, number: int) -> NDArray[np.uint8]:
    """A picture (SIDE, SIDE, 3) bgr of one colour that no other has."""
    return np.full((SIDE, SIDE, 3), (camera, number % 256, number // 256), np.uint8)


def told(detection: Detection2D) -> tuple[int, int]:
    """Camera and number of the picture that a detection of a TellingEngine comes from."""
    box, score = detection.bbox, detection.results[0].hypothesis.score
    left = box.center.position.x - box.size_x / 2
    top = box.center.position.y - box.size_y / 2
    return round(left * 256 / SIDE), round(top * 256 / SIDE) + 256 * round(score * 255)


class TellingEngine(BlankEngine):
    """Engine that finds one box in each image, made of its colour: the left edge, the top edge and the score.

    Attributes:
        held: Whether each run waits for `permits`.
        permits: Runs that may end.
        started: Pictures of each run while `held`, as camera and number, when it starts.
    """

    def __init__(self) -> None:
        self.held = False
        self.permits = Semaphore(0)
        self.started: Queue[list[tuple[int, int]]] = Queue()

    def run(self, inputs: Tensors) -> Tensors:
        """Return one box an image; wait if held."""
        images = inputs["image"]
        bgr = images[:, 0, 0][:, inputs["channel_order"][::-1]].astype(np.float32)
        if self.held:
            self.started.put([(int(b), int(g + 256 * r)) for b, g, r in bgr])
            assert self.permits.acquire(timeout=PATIENCE)
        outputs = {name: tensor.copy() for name, tensor in super().run(inputs).items()}
        ends = np.ones((2, len(images)))
        outputs["boxes"][:, 0] = np.stack([bgr[:, 0] / 256, bgr[:, 1] / 256, *ends], axis=1)
        outputs["scores"][:, 0], outputs["keep"][:, 0] = bgr[:, 2] / 255, 1
        return outputs


def open_on(engine: Any) -> Any:
    """Return a function that opens a detector on this engine, which resizes on the host."""

    def opened(card: ModelCard, *_: object) -> Detector:
        detector = Detector(engine, card)
        detector.resize_on = "host"
        return detector

    return opened


@contextmanager
def detector_node(domain: int, engine: Any, cameras: Sequence[str], **parameters: Any) -> Iterator[DetectorNode]:
    """Run a detector node in a domain."""
    arguments = ros_arguments({"cameras": list(cameras), "image_reliability": "reliable", **parameters})
    rclpy.init(args=arguments, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = DetectorNode(open_engine=open_on(engine))
        executor = new_executor(node.context)
        executor.add_node(node)
        with spinning(executor):
            yield node
        node.destroy_node()
        assert not node.failed
    finally:
        rclpy.try_shutdown()


class Sender:
    """A camera's publisher, and the answers to its pictures.

    Attributes:
        name: Name of the camera.
        number: Number of the newest picture; its stamp has this many seconds.
        answers: Received detections.
        pictures: Received pictures since `watch`, which tell that the middleware has delivered them.
    """

    def __init__(self, probe: Probe, name: str, index: int) -> None:
        self.name = name
        self.number = 0
        self.answers: list[Detection2DArray] = probe.receive(Detection2DArray, f"{name}/detections", 1000)
        self.pictures: list[Image] = []
        self.publisher: Any = None
        self._probe = probe
        self._index = index
        self.come()

    def come(self) -> None:
        """Start to publish."""
        self.publisher = self._probe.node.create_publisher(Image, f"{self.name}/image", QOS)

    def leave(self) -> None:
        """Stop publishing."""
        self._probe.node.destroy_publisher(self.publisher)

    def send(self, pixels: NDArray[np.uint8] | None = None) -> int:
        """Publish a picture, by default the next one of its own; return its number."""
        self.number += 1
        header = Header(frame_id=f"{self.name}_optical_frame")
        header.stamp.sec = self.number
        pixels = picture(self._index, self.number) if pixels is None else pixels
        self.publisher.publish(image_to_msg(pixels, "bgr", header))
        return self.number

    @property
    def answered(self) -> int:
        """Number of the newest answered picture."""
        return self.answers[-1].header.stamp.sec if self.answers else 0

    def watch(self) -> None:
        """Receive the pictures as well."""
        self.pictures = self._probe.receive(Image, f"{self.name}/image", 1000)
        self._probe.spin_until(lambda: self.publisher.get_subscription_count() == 2, "the subscription")

    @property
    def arrived(self) -> int:
        """Number of the newest picture that the middleware has delivered."""
        return self.pictures[-1].header.stamp.sec if self.pictures else 0

    def await_answer(self) -> None:
        """Wait for the answer to the newest picture."""
        self._probe.spin_until(lambda: self.answered == self.number, f"{self.name}: answer {self.number}")

    def begin(self) -> None:
        """Publish pictures until one is answered."""
        self._probe.spin_until(lambda: self.publisher.get_subscription_count() > 0, "the subscription")

        def is_answered() -> bool:
            self.send()
            return self._probe.happens(lambda: self.answered == self.number, 0.5)

        self._probe.spin_until(is_answered, f"detections of {self.name}")

    def check_answers(self) -> None:
        """Check that every answer belongs to its own picture and camera, and that none comes late or twice."""
        for answer in self.answers:
            assert answer.header.frame_id == f"{self.name}_optical_frame"
            assert told(answer.detections[0]) == (self._index, answer.header.stamp.sec)
        stamps = [answer.header.stamp.sec for answer in self.answers]
        assert stamps == sorted(set(stamps))


class Reports:
    """Counts in /diagnostics by camera."""

    def __init__(self, probe: Probe) -> None:
        self._arrays: list[DiagnosticArray] = probe.receive(DiagnosticArray, "/diagnostics")

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """The newest counts by camera and name."""
        statuses = {s.name.rpartition(": ")[2]: s for array in self._arrays for s in array.status}
        return {
            name: {value.key: int(value.value) for value in status.values if value.value.isdigit()}
            for name, status in statuses.items()
        }
