"""ImageStream: node that publishes images and records the times of the detections."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from threading import Event

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.ros.stamps import nanoseconds

NAMESPACE = "/benchmark"
"""Namespace of the measured nodes, apart from other detector nodes."""
STARTUP_SECONDS = 120.0
ENGINE_P50 = "engine p50 ms"
"""Diagnostics key of the time from pixels to detections."""
AGE_P50 = "age p50 ms"
"""Diagnostics key of the time from an image's stamp to its arrival."""


@dataclass
class Answers:
    """Times of one node's detections.

    Attributes:
        first: Event that the first detections set.
        latencies: Milliseconds from an image's stamp to its detections.
        arrivals: Milliseconds from an image's stamp to the callback of an echo node.
        stages: Milliseconds by key in a detector node's diagnostics.
    """

    first: Event = field(default_factory=Event)
    latencies: list[float] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)


class ImageStream(Node):
    """Node that publishes an image repeatedly and records the detections of other nodes.

    Args:
        image: Image to publish, (H, W, 3) uint8, bgr.
        names: Node names, see `node_process`.

    Attributes:
        sent: Number of published images.
        answers: Times of the detections, by node name.
    """

    def __init__(self, image: NDArray[np.uint8], names: Iterable[str]) -> None:
        super().__init__("benchmark")
        self.sent = 0
        self.answers = {name: Answers() for name in names}
        self._message = image_to_msg(image, "bgr", Header())
        self._publisher = self.create_publisher(Image, f"{NAMESPACE}/image", 1)
        for name, answers in self.answers.items():
            receive = partial(self._receive, answers)
            self.create_subscription(Detection2DArray, f"{NAMESPACE}/{name}/detections", receive, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._note_stages, 10)

    def send(self) -> None:
        """Publish the image, stamped with the current time."""
        self._message.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(self._message)
        self.sent += 1

    def stream(self, rate: float, seconds: float) -> None:
        """Publish `rate` images per second for some seconds, and wait for the last detections."""
        start = time.perf_counter()
        for tick in range(round(rate * seconds)):
            time.sleep(max(0.0, start + tick / rate - time.perf_counter()))
            self.send()
        time.sleep(0.3)

    def await_first(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Publish images until a node sends detections.

        Raises:
            RuntimeError: The node ends, or sends none within STARTUP_SECONDS.
        """
        deadline = time.monotonic() + STARTUP_SECONDS
        while not self.answers[name].first.wait(0.1):
            if process.poll() is not None:
                raise RuntimeError(
                    f"the measured node ended with exit code {process.returncode}: see its log above"
                )
            if time.monotonic() > deadline:
                raise RuntimeError(f"the measured node sent no detections within {STARTUP_SECONDS:g} s")
            self.send()

    def restart(self) -> None:
        """Discard all measurements."""
        self.sent = 0
        for answers in self.answers.values():
            answers.latencies.clear()
            answers.arrivals.clear()

    def _receive(self, answers: Answers, message: Detection2DArray) -> None:
        taken = nanoseconds(message.header.stamp)
        answers.latencies.append((self.get_clock().now().nanoseconds - taken) / 1e6)
        if message.header.frame_id:  # only the echo node sets it
            answers.arrivals.append((int(message.header.frame_id) - taken) / 1e6)
        answers.first.set()

    def _note_stages(self, message: DiagnosticArray) -> None:
        for name, answers in self.answers.items():
            own = (status for status in message.status if status.name.startswith(f"{NAMESPACE}/{name}/"))
            values = chain.from_iterable(status.values for status in own)
            answers.stages.update((v.key, float(v.value)) for v in values if v.key in (ENGINE_P50, AGE_P50))
