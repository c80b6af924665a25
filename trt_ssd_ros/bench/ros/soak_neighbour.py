"""Disturber: changes cameras, viewers, settings and the clock around the detector node in a soak test."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.node.messages import image_to_msg

NAMESPACE = "/soak"
"""Namespace of the disturbed nodes and their clock, apart from other nodes."""
CLOCK_PERIOD = 0.05
"""Seconds between two clock messages."""
DISTURBANCE_PERIOD = 0.5
"""Seconds between two disturbances."""
START = 1e5
"""First time of the simulated clock, in seconds: far enough from 0 to be set back often."""
JUMP = 20.0
"""Largest change of the clock, in seconds, back or forth."""
SETTINGS: Sequence[Mapping[str, Any]] = (
    {"score_threshold": 0.3},
    {"score_threshold": 0.6, "max_detections": 10},
    {"roi": [0.25, 0.25, 0.5, 0.5]},
    {"roi": [0.0, 0.0, 1.0, 1.0]},
    {"class_id_format": "id", "debug_labels": False},
    {"max_rate": 5.0},
    {"max_rate": 0.0},
    {"score_threshold": 7.0},
    {"no_such_parameter": 1},
    {"include_classes": ["nonsense"]},
)
"""Parameter sets; the node refuses the last three."""


class Disturber(Node):
    """Node that publishes images and a simulated clock, and disturbs the detector node at random.

    Args:
        image: Image to publish, (H, W, 3) uint8, bgr.
        rate: Images per second.
        seed: Random seed of the disturbances.

    Attributes:
        done: Number of disturbances by kind; `images` counts published images.
        answers: Number of received detection messages.
    """

    def __init__(self, image: NDArray[np.uint8], rate: float, seed: int) -> None:
        super().__init__("disturber", namespace=NAMESPACE)
        self.done: Counter[str] = Counter()
        self.answers = 0
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._image = image_to_msg(image, "bgr", Header(frame_id="camera"))
        self._offset = START - time.monotonic()
        self._camera = self._new_camera()
        self._clock_publisher = self.create_publisher(ClockMessage, "clock", 10)
        self.create_subscription(Detection2DArray, "detections", self._count, 10)
        self._viewers: dict[str, Any] = {}
        self._set_parameters = self.create_client(SetParametersAtomically, "detector/set_parameters_atomically")
        self._enable = self.create_client(SetBool, "detector/enable")
        self._change_state = self.create_client(ChangeState, "detector/change_state")
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / rate, self._send_image, clock=steady)
        self.create_timer(CLOCK_PERIOD, self._send_clock, clock=steady)
        self._disturbances = self.create_timer(DISTURBANCE_PERIOD, self._disturb, clock=steady)
        self._disturbances.cancel()

    def disturb(self) -> None:
        """Start the disturbances."""
        self._disturbances.reset()

    def stop_disturbing(self) -> None:
        """Stop the disturbances; leave the detector active and enabled."""
        self._disturbances.cancel()
        self.toggle()
        self.reactivate()
        self._set_parameters.call_async(SetParametersAtomically.Request(parameters=_messages({"max_rate": 0.0})))

    def _disturb(self) -> None:
        actions: list[Callable[[], None]] = [
            self.change_camera,
            self.toggle_viewer,
            self.change_settings,
            self.set_clock,
            self.send_malformed_image,
            self.toggle,
            self.reactivate,
        ]
        action = self._random.choice(actions)
        action()
        self.done[action.__name__] += 1

    def change_camera(self) -> None:
        """Replace the publisher by one with random reliability."""
        self.destroy_publisher(self._camera)
        self._camera = self._new_camera()

    def toggle_viewer(self) -> None:
        """Subscribe to a debug image, or unsubscribe from it."""
        topic = self._random.choice(["debug_image", "debug_image/compressed"])
        viewer = self._viewers.pop(topic, None)
        if viewer is not None:
            self.destroy_subscription(viewer)
            return
        kind = CompressedImage if topic.endswith("compressed") else Image
        self._viewers[topic] = self.create_subscription(kind, topic, lambda _: None, 1)

    def change_settings(self) -> None:
        """Set valid or invalid parameters."""
        values = self._random.choice(SETTINGS)
        self._set_parameters.call_async(SetParametersAtomically.Request(parameters=_messages(values)))

    def set_clock(self) -> None:
        """Set the simulated clock back or forth."""
        self._offset += self._random.uniform(-JUMP, JUMP)

    def send_malformed_image(self) -> None:
        """Publish an image with too little data."""
        self._camera.publish(Image(encoding="bgr8", width=20000, height=20000, step=60000, data=bytes(100)))

    def toggle(self) -> None:
        """Disable the detector and enable it again."""
        for data in (False, True):
            self._enable.call_async(SetBool.Request(data=data))

    def reactivate(self) -> None:
        """Deactivate the detector and activate it again."""
        for label in ("deactivate", "activate"):
            self._change_state.call_async(ChangeState.Request(transition=Transition(label=label)))

    def _new_camera(self) -> Any:
        reliability = self._random.choice([QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT])
        return self.create_publisher(Image, "image", QoSProfile(depth=1, reliability=reliability))

    def _now(self) -> Time:
        nanoseconds = int((time.monotonic() + self._offset) * 1e9)
        return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def _send_image(self) -> None:
        self._image.header.stamp = self._now()
        self._camera.publish(self._image)
        self.done["images"] += 1

    def _send_clock(self) -> None:
        self._clock_publisher.publish(ClockMessage(clock=self._now()))

    def _count(self, _: Detection2DArray) -> None:
        self.answers += 1


def _messages(values: Mapping[str, Any]) -> list[ParameterMessage]:
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
