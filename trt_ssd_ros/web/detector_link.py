"""DetectorLink: follows one detector while there are viewers, and tells them its state."""

from __future__ import annotations

import time
from collections.abc import Callable
from posixpath import dirname, join
from typing import Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterEvent
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, qos_profile_parameter_events
from vision_msgs.msg import LabelInfo

from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.ros.transport import without_events
from trt_ssd_ros.web.control import Control
from trt_ssd_ros.web.live_parameters import LiveParameters, views_of
from trt_ssd_ros.web.messages import camera_status, labels_of, status_of
from trt_ssd_ros.web.protocol import diagnostics_message, parameters_message, state_message
from trt_ssd_ros.web.services import Services

LABELS = "label_info"
STALE_SECONDS = 3.5
"""Age from which on a status is stale; the detector reports once a second."""
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
FEW = QoSProfile(depth=10)


class Texts(Protocol):
    """Receiver of the texts of the protocol; see `WebServer`."""

    def tell(self, kind: str, text: str) -> None:
        """Send a text to all viewers."""

    def forget(self, kind: str) -> None:
        """Send no text of a kind to viewers that come later."""


class DetectorLink:
    """Link to one detector; all calls are made in the executor's thread.

    A detector that has restarted is another publisher of `label_info`: then all parameters are read again.

    Args:
        node: Node that subscribes and calls.
        name: Full name of the detector.
        allow_control: Whether viewers may change the detector.
        texts: Receiver of the texts.

    Attributes:
        control: Executor of the viewers' commands.
    """

    def __init__(self, node: Node, name: str, allow_control: bool, texts: Texts) -> None:
        self._node = node
        self._name = name
        self._labels_topic = node.resolve_topic_name(join(dirname(name), LABELS))
        self._allow_control = allow_control
        self._texts = texts
        self._services = Services(node, name)
        self._parameters = LiveParameters(self._services, self._tell_parameters)
        self.control = Control(self._services, name, self._parameters, allow_control)
        self._subscriptions: list[Any] = []
        self._publishers: frozenset[bytes] = frozenset()
        self._read: frozenset[bytes] | None = None
        self._is_reading = False
        self._labels: list[str] = []
        self._statuses: dict[str, tuple[float, DiagnosticStatus]] = {}

    @property
    def cameras(self) -> list[str]:
        """Names of the detector's cameras; empty while they are unknown."""
        return self._parameters.cameras or []

    def views(self, camera: str, size: tuple[int, int]) -> list[Window]:
        """Return the parts of a camera's image that the detector sees; see `views_of`."""
        return views_of(self._parameters.values, camera, size)

    def wake(self) -> None:
        """Subscribe; if the link is awake, do nothing."""
        if not self._subscriptions:
            self._subscribe(LabelInfo, self._labels_topic, self._take_labels, LATCHED)
            self._subscribe(DiagnosticArray, "/diagnostics", self._take_diagnostics, FEW)
            self._subscribe(ParameterEvent, "/parameter_events", self._take_event, qos_profile_parameter_events)
            self.follow()

    def _subscribe(self, kind: Any, topic: str, take: Callable[[Any], None], qos: QoSProfile) -> None:
        subscription = self._node.create_subscription(kind, topic, take, qos, event_callbacks=without_events())
        self._subscriptions.append(subscription)

    def sleep(self) -> None:
        """Unsubscribe, and forget what may change meanwhile; if the link sleeps, do nothing."""
        if not self._subscriptions:
            return
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._statuses.clear()
        self._read = None
        self._texts.forget("diagnostics")

    def follow(self) -> None:
        """Look for a detector that has come, gone or restarted; call it about once a second while awake."""
        self._services.give_up_late()
        self._publishers = self._publishers_now()
        if self._publishers and self._publishers != self._read and not self._is_reading:
            self._read_parameters()
        self._tell_state()
        self._tell_diagnostics()

    def _publishers_now(self) -> frozenset[bytes]:
        """Return the identity of the detector; a killed one is listed for some seconds beside its successor."""
        infos = self._node.get_publishers_info_by_topic(self._labels_topic)
        names = [
            (f"{info.node_namespace.rstrip('/')}/{info.node_name}", bytes(info.endpoint_gid)) for info in infos
        ]
        return frozenset(gid for name, gid in names if name == self._name)

    def _read_parameters(self) -> None:
        self._is_reading, publishers = True, self._publishers

        def end(complete: bool) -> None:
            self._is_reading = False
            if complete:  # else the next `follow` tries again
                self._read = publishers
                self.control.follow_cameras()
                self._tell_state()

        self._parameters.read(end)

    def _take_labels(self, message: LabelInfo) -> None:
        self._labels = labels_of(message)
        self._tell_state()

    def _take_event(self, message: ParameterEvent) -> None:
        if message.node == self._name:
            self._parameters.take_event(message)

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for camera in self.cameras:
            status = status_of(message, self._status_name(camera))
            if status is not None:
                self._statuses[camera] = time.monotonic(), status
                self._tell_diagnostics()

    def _status_name(self, camera: str) -> str:
        """Return the name of a camera's status; in the root namespace it has no slash (see StatusUpdater)."""
        name = self._name.removeprefix("/")
        return f"{self._name if '/' in name else name}: {camera or 'detector'}"

    def _tell_state(self) -> None:
        present = bool(self._publishers)
        text = state_message(self._name, present, self._allow_control, self.cameras, self._labels)
        self._texts.tell("state", text)

    def _tell_parameters(self) -> None:
        self._texts.tell("parameters", parameters_message(list(self._parameters.values.values())))

    def _tell_diagnostics(self) -> None:
        now = time.monotonic()
        found = [
            camera_status(camera, status, now - since > STALE_SECONDS)
            for camera, (since, status) in self._statuses.items()
            if camera in self.cameras
        ]
        if found:
            self._texts.tell("diagnostics", diagnostics_message(found))
