"""Frames: transforms between the frames of the robot, from tf, without waiting in the executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import Quaternion, TransformStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.time import Time
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException

from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.ros.transport import without_events

MEMORY = 10.0
"""Seconds for which transforms are kept."""
LEAD = 2 * 10**9
"""Nanoseconds by which transforms may be newer than images, which arrive later; some transforms are predicted."""
MOVING = QoSProfile(depth=100)
STATIC = QoSProfile(depth=100, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
AUTHORITY = "tf"
"""Publisher of a transform, which tf2 only prints."""


class FrameError(LookupError):
    """Missing transform; the text names both frames and the cause."""


@dataclass(frozen=True, eq=False)
class Transform:
    """Rigid transform of points from one frame to another.

    Attributes:
        rotation: The rotation as in the message.
        matrix: (4, 4) float64, metres.
    """

    rotation: Quaternion
    matrix: NDArray[np.float64]

    @classmethod
    def identity(cls) -> Transform:
        """Return the transform of a frame to itself."""
        return cls(Quaternion(w=1.0), np.eye(4))

    @classmethod
    def from_msg(cls, message: TransformStamped) -> Transform:
        """Return the transform of a message."""
        rotation, translation = message.transform.rotation, message.transform.translation
        matrix = np.eye(4)
        matrix[:3, :3] = rotation_matrix(rotation)
        matrix[:3, 3] = translation.x, translation.y, translation.z
        return cls(rotation, matrix)

    def points(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return points (..., 3) in the other frame."""
        return np.asarray(points @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def covariance(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a covariance (3, 3) in the other frame."""
        turn = self.matrix[:3, :3]
        return np.asarray(turn @ covariance @ turn.T)


def rotation_matrix(q: Quaternion) -> NDArray[np.float64]:
    """Return the rotation (3, 3) of a quaternion, which need not be exactly normalised."""
    w, v = q.w, np.array([q.x, q.y, q.z])
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    # Euler-Rodrigues formula: R = 1 + 2 (w [v] + [v]^2) / |q|^2
    return np.asarray(np.eye(3) + 2 * (w * cross + cross @ cross) / (w * w + v @ v))


class Frames:
    """Transforms of the robot; the node listens to tf from the first transform that it needs, until `close`.

    Args:
        node: Node that subscribes.
        on_new: Called when transforms arrive, so that the caller can look again.
    """

    def __init__(self, node: Node, on_new: Callable[[], None]) -> None:
        self._node = node
        self._on_new = on_new
        self._buffer = Buffer(Duration(seconds=MEMORY))
        self._subscriptions: list[Subscription] = []
        self._newest = 0

    def close(self) -> None:
        """Stop listening, and forget the moving frames; if the node does not listen, do nothing."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._forget()

    def _listen(self) -> None:
        # Not with tf2_ros.TransformListener, whose subscriptions have events; see `without_events`.
        self._subscriptions = [
            self._subscribe("/tf", MOVING, self._buffer.set_transform),
            self._subscribe("/tf_static", STATIC, self._buffer.set_transform_static),
        ]

    def _subscribe(
        self, topic: str, qos: QoSProfile, keep: Callable[[TransformStamped, str], object]
    ) -> Subscription:
        def receive(message: TFMessage) -> None:
            for transform in message.transforms:
                keep(transform, AUTHORITY)
                if topic == "/tf":
                    self._newest = max(self._newest, nanoseconds(transform.header.stamp))
            self._on_new()

        return self._node.create_subscription(TFMessage, topic, receive, qos, event_callbacks=without_events())

    def rewind(self, stamp: Stamp) -> None:
        """Forget the moving frames, because a clock has gone back: tf2 ignores transforms older than its newest.

        Depth images go back first, and detections by their latency later. Transforms that have come between both
        are those of the first images.

        Args:
            stamp: First stamp after the jump.
        """
        if self._newest > nanoseconds(stamp) + LEAD:
            self._forget()

    def _forget(self) -> None:
        self._buffer.clear()
        self._newest = 0

    def find(self, target: str, source: str, stamp: Stamp) -> Transform:
        """Return the transform of points from `source` to `target`.

        Args:
            target: Name of the frame of the result.
            source: Name of the frame of the points.
            stamp: Time of the points; 0: the newest transform.

        Raises:
            FrameError: No transform is known for this time, or not yet.
        """
        if target == source:
            return Transform.identity()
        if not self._subscriptions:
            self._listen()
        try:
            return Transform.from_msg(self._buffer.lookup_transform(target, source, Time.from_msg(stamp)))
        except (TransformException, ValueError) as error:  # ValueError: a stamp before 1970
            cause = " ".join(str(error).split()) or type(error).__name__
            raise FrameError(f"from {source!r} to {target!r}: {cause}") from error
