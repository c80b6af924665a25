"""ComposedInput: a slot for the newest image of a camera in the same process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import inf
from queue import Queue

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Header

from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.node.composed_input import CapturedImage, ComposedInput
from trt_ssd_ros.node.frame_counts import FrameCounts
from trt_ssd_ros.node.image_reader import read_image
from trt_ssd_ros.node.inference_executor import InferenceExecutor

pytestmark = pytest.mark.ros
PATIENCE = 30.0


class Rig:
    """An executor with one composed input, whose images it puts into a queue; also the input's receiver."""

    def __init__(self, context: Context) -> None:
        self.pause = 0.0
        self.taken: Queue[str] = Queue()
        self.go_on = threading.Event()
        self.go_on.set()
        self.executor = InferenceExecutor(context, pytest.fail)
        self.node = Node("it", context=context)
        self.input = ComposedInput(self.node, "image", self, "raw", "auto", self.executor.wake)
        self.executor.listen(lambda: [self.input] if self.input.opened else [], self.take)

    def throttle_delay(self, _: float) -> float:
        """See Receiver."""
        return self.pause

    def receive(self, message: CapturedImage) -> str:
        """See Receiver."""
        return str(message.header.frame_id)

    def reject(self, reason: str) -> None:
        """See Receiver."""
        pytest.fail(reason)

    def take(self, images: list[str]) -> None:
        """The executor's callback: busy until it may go on."""
        [name] = images
        self.taken.put(name)
        assert self.go_on.wait(PATIENCE)

    def open(self) -> None:
        """Open the input, and see the executor wait for it."""
        self.input.open()
        self.executor.submit(int).result(PATIENCE)

    def put(self, *names: str) -> None:
        """Put images with these frame ids."""
        for name in names:
            self.input.put(image(name))

    def next(self) -> str:
        """The name of the next image that is taken."""
        return self.taken.get(timeout=PATIENCE)

    def missed(self) -> tuple[int, int]:
        """The images since the last call that were dropped and rate limited."""
        counts = FrameCounts()
        self.input.count_missed(counts)
        assert counts.numbered
        return counts.dropped, counts.rate_limited


def image(name: str) -> CapturedImage:
    """A black image with this frame id."""
    return CapturedImage(Header(frame_id=name), Frame(np.zeros((4, 6, 3), np.uint8), "rgb"))


@pytest.fixture
def rig(domain: int) -> Iterator[Rig]:
    """A rig whose input is closed."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    rig = Rig(context)
    yield rig
    rig.go_on.set()
    rig.executor.shutdown()
    rig.node.destroy_node()
    context.try_shutdown()


def test_the_newest_image_is_taken_and_those_before_it_are_counted(rig):
    rig.open()
    rig.put("1")
    assert rig.next() == "1"
    rig.go_on.clear()
    rig.put("2")
    assert rig.next() == "2"
    rig.put("3", "4", "5")
    rig.go_on.set()
    assert rig.next() == "5"
    assert rig.missed() == (2, 0)
    assert rig.missed() == (0, 0)


def test_only_an_open_input_takes_images(rig):
    rig.put("early")
    rig.open()
    rig.go_on.clear()
    rig.put("1")
    assert rig.next() == "1"
    rig.put("2")
    rig.input.close()
    rig.put("late")
    rig.go_on.set()
    rig.open()
    rig.put("3")
    assert rig.next() == "3"
    assert rig.missed() == (0, 0)


def test_a_rate_limited_image_is_taken_when_its_time_comes_and_wakes_nobody(rig):
    rig.open()
    rig.put("1")
    assert rig.next() == "1"
    rig.pause = inf
    rig.executor.submit(int).result(PATIENCE)
    rig.put("2", "3")
    assert rig.executor.is_waiting
    assert rig.missed() == (0, 1)
    rig.pause = 0.05
    rig.executor.submit(int).result(PATIENCE)
    rig.pause = 0.0
    assert rig.next() == "3"


def test_no_image_gets_lost_between_two_threads(rig):
    rig.open()
    names = [str(number) for number in range(3000)]
    camera = threading.Thread(target=rig.put, args=names)
    camera.start()
    taken = [rig.next()]
    while taken[-1] != names[-1]:
        taken.append(rig.next())
    camera.join()
    assert taken == sorted(set(taken), key=int), "in order, each once"
    assert len(taken) + rig.missed()[0] == len(names)


def test_an_image_is_read_as_it_is():
    captured = image("it")
    assert read_image(captured) is captured.frame
    assert captured.encoding == "rgb8"


def test_overrides_of_a_subscription_that_does_not_exist_are_warned_of(domain, monkeypatch):
    context = Context()
    names = [f"qos_overrides./{topic}.subscription.reliability" for topic in ("image", "other")]
    rclpy.init(args=[], context=context, domain_id=domain)
    node = Node("it", context=context, parameter_overrides=[Parameter(name, value="reliable") for name in names])
    said: list[str] = []
    monkeypatch.setattr(node.get_logger(), "warning", said.append)
    try:
        ComposedInput(node, "image", None, "raw", "auto", lambda: None)
    finally:
        node.destroy_node()
        context.try_shutdown()
    assert said == [f"{names[0]} is not used: the camera is in this process"]
