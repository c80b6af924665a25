"""What the ROS tests talk with: a node in the test's own domain."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from domain_coordinator import domain_id
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

PATIENCE = 30.0
"""Seconds to wait for what has to happen: generous, because it is only used up when a test fails."""
RESPONSE_PATIENCE = 5.0
"""Seconds after which an answer counts as lost."""
BEST_EFFORT = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
_next_domain = itertools.count(random.randrange(100))  # noqa: S311 - to be unlikely, not unguessable


@contextmanager
def new_domain() -> Iterator[int]:
    """Reserve a ROS domain that no test had lately or has now."""
    with domain_id(lambda: next(_next_domain) % 100 + 1) as domain:
        yield domain


class Probe:
    """A node that is spun only while a test waits for something."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.node = Node("probe", context=self.context)
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def add_node(self, node: Node) -> None:
        """Spin another node of this context as well."""
        self._executor.add_node(node)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def spin(self, seconds: float) -> None:
        """Answer what comes in for some seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def spin_once(self) -> None:
        """Answer one thing that is already there, if anything is."""
        self._executor.spin_once(timeout_sec=0)

    def spin_until(self, happened: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
        """Wait for something to happen; fail the test and say what it was if it does not."""
        if not self.happens(happened, patience):
            pytest.fail(f"waited {patience:g} s in vain for {what}; the probe sees\n{self.graph()}")

    def happens(self, happened: Callable[[], Any], patience: float) -> bool:
        """Wait for something and tell whether it happened in time."""
        end = time.monotonic() + patience
        while not happened():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def receive(self, kind: Any, topic: str, qos: QoSProfile | int = 10) -> list[Any]:
        """Subscribe and return the list that messages are put into."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, qos)
        return received

    def call(self, kind: Any, service: str, request: Any, repeatable: bool = False) -> Any:
        """Call a service, again if need be and `repeatable`, and return its response."""
        known = self._clients.get(service)
        client = self._clients[service] = known or self.node.create_client(kind, service)
        self.spin_until(client.service_is_ready, f"service {service}")
        if known is None and not repeatable:
            self.spin(0.2)  # Fast DDS drops answers to clients that the server has not discovered; nothing tells
        future = client.call_async(request)
        if repeatable and not self.happens(future.done, RESPONSE_PATIENCE):
            future = client.call_async(request)  # Fast DDS drops answers to clients it has not discovered yet
        self.spin_until(future.done, f"the answer of {service}")
        return future.result()

    def set_parameter(self, name: str, value: Any, node: str = "detector") -> Any:
        """Set a parameter and return the SetParametersResult."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, f"{node}/set_parameters", request).results[0]

    def change_state(self, transition: str, node: str = "detector") -> bool:
        """Ask a lifecycle node for a transition, by its label, and tell whether it was done."""
        service, request = f"{node}/change_state", ChangeState.Request(transition=Transition(label=transition))
        if service not in self._clients:  # Fast DDS drops answers to clients that the server has not discovered
            self.call(
                ChangeState, service, ChangeState.Request(transition=Transition(label="none")), repeatable=True
            )
        return bool(self.call(ChangeState, service, request).success)

    def state(self, node: str = "detector") -> str:
        """Return the state of a lifecycle node."""
        answer = self.call(GetState, f"{node}/get_state", GetState.Request(), repeatable=True)
        return str(answer.current_state.label)

    def graph(self) -> str:
        """Return the nodes, and who publishes and who subscribes to each topic, as far as discovered."""
        lines = [f"domain {self.context.get_domain_id()}, nodes: {', '.join(sorted(self.node.get_node_names()))}"]
        for topic, _ in self.node.get_topic_names_and_types():
            publishers = self.node.get_publishers_info_by_topic(topic)
            subscribers = self.node.get_subscriptions_info_by_topic(topic)
            ends = (", ".join(info.node_name for info in infos) for infos in (publishers, subscribers))
            lines.append("{}: from {} to {}".format(topic, *ends))
        return "\n".join(lines)

    def get_parameter(self, name: str, node: str = "detector") -> Any:
        """Return the value of a parameter."""
        response = self.call(
            GetParameters, f"{node}/get_parameters", GetParameters.Request(names=[name]), repeatable=True
        )
        return parameter_value_to_python(response.values[0])


class DetectorClient:
    """Sends images to a detector node and gets its answers.

    Attributes:
        sent: Images published.
        answers: Detections received.
    """

    def __init__(
        self, probe: Probe, qos: QoSProfile = BEST_EFFORT, kind: Any = Image, topic: str = "image"
    ) -> None:
        self.probe = probe
        self.sent = 0
        self.answers: list[Detection2DArray] = probe.receive(Detection2DArray, "detections")
        self._kind, self._topic = kind, topic
        self._publisher = probe.node.create_publisher(kind, topic, qos)
        self._diagnostics = probe.receive(DiagnosticArray, "/diagnostics")

    def leave(self) -> None:
        """Stop publishing."""
        self.probe.node.destroy_publisher(self._publisher)

    def come_back(self, qos: QoSProfile = BEST_EFFORT) -> None:
        """Publish again, as another publisher, after `leave`."""
        self._publisher = self.probe.node.create_publisher(self._kind, self._topic, qos)

    def send(self, image: Image) -> None:
        """Publish an image."""
        self._publisher.publish(image)
        self.sent += 1

    def ask(self, image: Image) -> Detection2DArray:
        """Publish an image until detections with its stamp come back, and return them.

        Again and again, because what is published before the node has discovered the publisher is lost, and so are
        most large images on a busy machine: this process leaves Fast DDS its defaults.
        """
        self.probe.spin_until(self._matched, "the detector node")
        before, patience, end = len(self.answers), 0.5, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.send(image)
            if self.probe.happens(lambda: self._answer(image, before), patience):
                return self._answer(image, before)
            patience = min(2 * patience, 1.0)
        pytest.fail(
            f"no detections come back; {self._publisher.get_subscription_count()} subscribe to the image, "
            f"{self.probe.node.count_publishers('detections')} publish detections, /diagnostics: {self.status()}"
        )

    def forget(self) -> None:
        """Drop all messages but the newest: a collection of millions of objects stops Python for many seconds."""
        for messages in (self.answers, self._diagnostics):
            del messages[:-1]

    def _matched(self) -> bool:
        return self._publisher.get_subscription_count() > 0 and self.probe.node.count_publishers("detections") > 0

    def _answer(self, image: Image, since: int) -> Detection2DArray | None:
        return next((a for a in self.answers[since:] if a.header.stamp == image.header.stamp), None)

    @property
    def reports(self) -> int:
        """How many messages came on /diagnostics."""
        return len(self._diagnostics)

    def status(self) -> Mapping[str, str]:
        """Return the values of the newest status of the detector in /diagnostics."""
        return {value.key: value.value for value in self.newest_status().values}

    def message(self) -> str:
        """Return what the newest status of the detector in /diagnostics says."""
        return str(self.newest_status().message)

    def newest_status(self) -> DiagnosticStatus:
        """Return the newest status of the detector in /diagnostics; an empty one before there is any."""
        statuses = [s for array in self._diagnostics for s in array.status if s.name.endswith(": detector")]
        return statuses[-1] if statuses else DiagnosticStatus()

    def counts(self) -> tuple[int, ...]:
        """Return the newest processed, dropped and refused; dropped is 0 where it is unknown."""
        status = self.status()
        texts = [status.get(name, "0") for name in ("processed", "dropped", "refused")]
        return tuple(int(text) if text.isdigit() else 0 for text in texts)
