"""InferenceExecutor: one thread waits for images, does all the work and cleans up after itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import inf
from queue import Queue
from time import monotonic

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from trt_ssd_ros.node.hidden_subscriptions import HiddenSubscriptions, InferenceCallbackGroup
from trt_ssd_ros.node.image_input import ImageSubscription
from trt_ssd_ros.node.image_messages import read_raw
from trt_ssd_ros.node.inference_executor import InferenceExecutor
from trt_ssd_ros.node.sequence_gaps import SequenceGaps
from trt_ssd_ros.ros.process import new_executor
from trt_ssd_ros.ros.transport import without_events

pytestmark = pytest.mark.ros

PATIENCE = 20
CYCLES = 100
RELIABLE = QoSProfile(depth=1)


@pytest.fixture
def context(domain: int) -> Iterator[Context]:
    """ROS, started."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    yield context
    context.try_shutdown()


@pytest.fixture
def failures() -> list[str]:
    """Why the thread ended."""
    return []


@pytest.fixture
def executor(context: Context, failures: list[str]) -> Iterator[InferenceExecutor]:
    """One that runs."""
    executor = InferenceExecutor(context, failures.append)
    yield executor
    executor.shutdown()
    assert failures == []


def test_works_in_one_thread_of_its_own_in_order(executor):
    done: list[int] = []

    def work(number: int) -> threading.Thread:
        done.append(number)
        return threading.current_thread()

    futures = [executor.submit(lambda n=number: work(n)) for number in range(50)]
    threads = {future.result(PATIENCE) for future in futures}
    assert done == list(range(50))
    assert len(threads) == 1
    assert threads.pop() not in (threading.main_thread(), threading.current_thread())


def test_the_future_gets_the_exception_and_work_goes_on(executor):
    failing = executor.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(PATIENCE)
    assert executor.submit(lambda: 42).result(PATIENCE) == 42


def test_shutdown_finishes_the_work_in_hand_and_closes_in_the_same_thread(executor):
    started, go_on = threading.Event(), threading.Event()
    closed: list[str] = []

    def work() -> str:
        for name in ("first", "second"):
            executor.resources.callback(lambda n=name: closed.append(f"{n} in {threading.get_ident()}"))
        started.set()
        go_on.wait(PATIENCE)
        return str(threading.get_ident())

    future = executor.submit(work)
    assert started.wait(PATIENCE)
    ending = threading.Thread(target=executor.shutdown)
    ending.start()
    ending.join(0.2)
    assert ending.is_alive(), "it waits for the work"
    assert closed == []
    go_on.set()
    ending.join(PATIENCE)
    assert not ending.is_alive()
    thread = future.result(0)
    assert closed == [f"second in {thread}", f"first in {thread}"]
    executor.shutdown()
    executor.shutdown()
    assert len(closed) == 2


def test_work_that_waits_at_the_end_is_not_begun(executor):
    started, go_on, begun = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(PATIENCE)

    in_hand, waiting = executor.submit(work), executor.submit(begun.set)
    assert started.wait(PATIENCE)
    ending = threading.Thread(target=executor.shutdown)
    ending.start()
    late = executor.submit(begun.set)
    while not late.done():
        late = executor.submit(begun.set)  # until it ends
    go_on.set()
    ending.join(PATIENCE)
    assert in_hand.result(PATIENCE) is None
    for future in (waiting, late):
        with pytest.raises(ExternalShutdownException):
            future.result(PATIENCE)
    assert not begun.is_set()


def test_closes_in_its_thread_when_ros_is_shut_down(executor, context):
    closed_in: list[int] = []
    closed = threading.Event()

    def work() -> int:
        executor.resources.callback(closed.set)
        executor.resources.callback(lambda: closed_in.append(threading.get_ident()))
        return threading.get_ident()

    thread = executor.submit(work).result(PATIENCE)
    context.shutdown()
    assert closed.wait(PATIENCE)
    assert closed_in == [thread]
    executor.shutdown()
    executor.shutdown()


def test_nobody_waits_for_ever_for_work_that_comes_too_late(executor, context):
    context.shutdown()
    executor.shutdown()
    future = executor.submit(lambda: 42)
    with pytest.raises(ExternalShutdownException):
        future.result(5)


class Camera:
    """A publisher of images, and the input that takes them."""

    def __init__(self, context: Context, topic: str = "image") -> None:
        self.pause = 0.0
        self.refusals: list[str] = []
        self.node = Node(f"{topic}_camera", context=context)
        self.gaps = SequenceGaps()
        self.publisher = self.node.create_publisher(Image, topic, RELIABLE)
        self.opened: ImageSubscription | None = None
        self.topic = topic

    def open(self) -> None:
        """Subscribe."""
        subscription = self.node.create_subscription(
            Image,
            self.topic,
            print,
            RELIABLE,
            callback_group=InferenceCallbackGroup(),
            event_callbacks=without_events(),
        )
        self.opened = ImageSubscription(subscription, read_raw, self, self.gaps)

    def close(self) -> None:
        """Unsubscribe."""
        assert self.opened is not None
        opened, self.opened = self.opened, None
        self.node.destroy_subscription(opened.subscription)

    def is_gone(self) -> bool:
        """Whether the subscription left the graph, which Cyclone DDS updates in a thread of its own."""
        if rclpy.get_rmw_implementation_identifier() == "rmw_cyclonedds_cpp":
            give_up_at = monotonic() + PATIENCE
            while self.node.count_subscribers(self.topic) and monotonic() < give_up_at:
                threading.Event().wait(0.001)
        return self.node.count_subscribers(self.topic) == 0

    def publish(self, number: int) -> None:
        """Publish an image that is told by its width."""
        self.publisher.publish(Image(width=number))

    def throttle_delay(self, _: float) -> float:
        """See Receiver."""
        return self.pause

    def receive(self, message: Image) -> tuple[str, int]:
        """See Receiver."""
        return self.topic, message.width

    def reject(self, reason: str) -> None:
        """See Receiver."""
        self.refusals.append(reason)


class Rig:
    """An executor that listens to cameras and puts what it takes into a queue."""

    def __init__(self, executor: InferenceExecutor, *cameras: Camera) -> None:
        self.executor = executor
        self.cameras = cameras
        self.taken: Queue[list[tuple[str, int]]] = Queue()
        self.busy, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        executor.listen(self.inputs, self.take)
        for camera in cameras:
            camera.open()
            while not camera.publisher.get_subscription_count():
                threading.Event().wait(0.01)  # discovery has no event
        executor.submit(int).result(PATIENCE)

    def inputs(self) -> list[ImageSubscription]:
        """The inputs that are open."""
        return [opened for camera in self.cameras if (opened := camera.opened) is not None]

    def take(self, images: list[tuple[str, int]]) -> None:
        """The callback: busy until it may go on."""
        self.taken.put(images)
        self.busy.set()
        assert self.go_on.wait(PATIENCE)

    def next(self) -> list[tuple[str, int]]:
        """What was taken next."""
        return self.taken.get(timeout=PATIENCE)

    def be_busy(self) -> None:
        """Have the callback run until go_on is set."""
        self.go_on.clear()
        self.busy.clear()
        self.cameras[0].publish(1)
        assert self.busy.wait(PATIENCE)
        assert self.next() == [(self.cameras[0].topic, 1)]


@pytest.fixture
def cameras(context: Context) -> Iterator[tuple[Camera, Camera]]:
    """Two."""
    left, right = Camera(context, "left"), Camera(context, "right")
    yield left, right
    for camera in (left, right):
        camera.node.destroy_node()


def test_is_an_executor_that_takes_no_node(executor, cameras):
    assert isinstance(executor, Executor)
    with pytest.raises(RuntimeError, match="left_camera: an InferenceExecutor runs only submitted work"):
        executor.add_node(cameras[0].node)
    assert cameras[0].node.executor is None
    with pytest.raises(RuntimeError, match=r"runs no tasks, use submit\(\) instead"):
        executor.create_task(print)


def test_an_error_in_its_thread_is_told_and_ends_it(executor, cameras, failures):
    closed = threading.Event()
    executor.resources.callback(closed.set)
    rig = Rig(executor, cameras[0])
    executor.listen(rig.inputs, lambda images: images[7])
    cameras[0].publish(1)
    assert closed.wait(PATIENCE)
    with pytest.raises(ExternalShutdownException):
        executor.submit(int).result(PATIENCE)
    [failure] = failures
    assert failure.startswith("the inference thread failed: IndexError")
    failures.clear()


def test_takes_the_newest_image_of_every_camera_that_has_one(executor, cameras):
    left, right = cameras
    rig = Rig(executor, left, right)
    rig.be_busy()
    for number in range(2, 6):
        left.publish(number)
        right.publish(10 * number)
    rig.go_on.set()
    assert rig.next() == [("left", 5), ("right", 50)]
    left.publish(6)
    assert rig.next() == [("left", 6)]
    numbered = left.gaps.numbered
    assert numbered is not None
    assert left.gaps.collect(frozenset("l")) == ({"dropped": 3} if numbered else {})


def test_images_come_in_the_thread_that_does_the_work(executor, cameras):
    threads: Queue[int] = Queue()
    rig = Rig(executor, cameras[0])
    executor.listen(rig.inputs, lambda _: threads.put(threading.get_ident()))
    cameras[0].publish(1)
    assert threads.get(timeout=PATIENCE) == executor.submit(threading.get_ident).result(PATIENCE)


def test_work_is_done_between_images(executor, cameras):
    rig = Rig(executor, cameras[0])
    rig.be_busy()
    future = executor.submit(lambda: 42)
    assert not future.done()
    rig.go_on.set()
    assert future.result(PATIENCE) == 42
    cameras[0].publish(7)
    assert rig.next() == [("left", 7)]


def test_the_time_that_the_callback_takes_is_busy_time_while_it_runs(executor, cameras):
    rig = Rig(executor, cameras[0])
    before = executor.busy_seconds
    rig.be_busy()
    end = monotonic() + PATIENCE
    while executor.busy_seconds < before + 0.05:
        assert monotonic() < end
    rig.go_on.set()
    cameras[0].publish(2)
    assert rig.next() == [("left", 2)]
    while not executor.is_waiting:
        assert monotonic() < end
    idle = executor.busy_seconds
    threading.Event().wait(0.05)
    assert executor.busy_seconds == idle


def test_a_camera_that_is_held_back_is_taken_from_when_its_time_comes(executor, cameras):
    left, right = cameras
    rig = Rig(executor, left, right)
    left.publish(1)
    assert rig.next() == [("left", 1)]
    left.pause = 1000.0
    executor.submit(int).result(PATIENCE)
    left.publish(2)
    left.publish(3)
    right.publish(4)
    assert rig.next() == [("right", 4)]
    left.pause = 0.0
    executor.wake()
    assert rig.next() == [("left", 3)]
    assert left.gaps.collect(frozenset("l")) == ({"rate_limited": 1} if left.gaps.numbered else {})
    left.pause = inf
    assert executor.submit(lambda: 42).result(PATIENCE) == 42
    left.pause = 0.05
    executor.submit(int).result(PATIENCE)
    left.publish(5)
    left.pause = 0.0
    assert rig.next() == [("left", 5)], "it wakes without a call of wake()"


def test_an_input_that_is_destroyed_while_it_is_waited_for_leaves_the_graph(executor, cameras):
    left = cameras[0]
    rig = Rig(executor, left)
    for number in range(CYCLES):
        left.publish(number)
        left.close()
        executor.wake()
        executor.await_release()
        assert left.is_gone()
        left.open()
        executor.wake()
    while not left.publisher.get_subscription_count():
        threading.Event().wait(0.01)
    left.publish(999)
    while rig.next() != [("left", 999)]:
        pass
    assert left.refusals == []


def test_an_input_that_is_destroyed_while_the_callback_runs_leaves_the_graph_at_once(executor, cameras):
    left, right = cameras
    rig = Rig(executor, left, right)
    rig.be_busy()
    left.close()
    executor.await_release()
    assert left.is_gone()
    assert not rig.go_on.is_set()
    rig.go_on.set()
    right.publish(5)
    assert rig.next() == [("right", 5)]


class HidingNode(HiddenSubscriptions, Node):
    """Hides its images as the detector node does."""


def single_threaded(context: Context) -> Executor:
    """The executor of Humble."""
    return SingleThreadedExecutor(context=context)


@pytest.mark.parametrize("make_executor", [single_threaded, new_executor])
def test_no_other_executor_takes_the_images(context, make_executor):
    called: list[Image] = []
    node = HidingNode("hiding", context=context)
    node.create_subscription(
        Image,
        "image",
        called.append,
        RELIABLE,
        callback_group=InferenceCallbackGroup(),
        event_callbacks=without_events(),
    )
    heard: list[Image] = []
    node.create_subscription(Image, "image", heard.append, RELIABLE)
    publisher = node.create_publisher(Image, "image", RELIABLE)
    main = make_executor(context)
    main.add_node(node)
    end = monotonic() + PATIENCE
    while len(heard) < 5 and monotonic() < end:
        publisher.publish(Image())
        main.spin_once(timeout_sec=0.05)
    main.shutdown()
    node.destroy_node()
    assert len(heard) == 5
    assert called == []
