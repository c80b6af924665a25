"""What the middleware tells about a message, from real publishers and executors."""

from __future__ import annotations

import os
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier
from std_msgs.msg import Int32

from trt_ssd_ros.node.image_input import SequenceGaps, with_info
from trt_ssd_ros.ros.process import new_executor

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("arrivals", "missing"),
    [
        ([], []),
        ([(1, "a")], [0]),
        ([(7, "a")], [0]),
        ([(1, "a"), (2, "a"), (3, "a")], [0, 0, 0]),
        ([(1, "a"), (5, "a"), (6, "a"), (8, "a")], [0, 3, 0, 1]),
        ([(9, "a"), (1, "b"), (3, "b")], [0, 0, 1]),
        ([(3, "a"), (9, "b"), (11, "b")], [0, 0, 1]),
        ([(4, "a"), (4, "a"), (5, "a")], [0, 0, 0]),
        ([(1, "ab"), (9, "ab"), (20, "a"), (22, "a")], [0, 0, 0, 1]),
        ([(1, "a"), (9, "ab"), (20, "a")], [0, 0, 0]),
        ([(1, ""), (2, "a"), (5, "a")], [0, 0, 2]),
        ([(None, "a"), (None, "a"), (5, "a"), (7, "a"), (None, "a"), (9, "a")], [0, 0, 0, 1, 0, 0]),
    ],
    ids=[
        *("nothing", "the first", "joined late", "in order", "gaps", "publisher restarted", "another publisher"),
        *("the same again", "two publishers", "a second publisher", "no publisher known yet"),
        "middleware without numbers",
    ],
)
def test_gaps(arrivals: list[tuple[int | None, str]], missing: list[int]) -> None:
    now: list[str] = []
    gaps = SequenceGaps(lambda: frozenset(now))

    def missing_before(number: int | None, publishers: str) -> int:
        now[:] = publishers
        return gaps.missing_before({} if number is None else {"publication_sequence_number": number})

    assert [missing_before(*arrival) for arrival in arrivals] == missing


def single_threaded(context: Context) -> Executor:
    """The executor of Humble."""
    return SingleThreadedExecutor(context=context)


@pytest.mark.parametrize("make_executor", [single_threaded, new_executor], ids=["single threaded", "fastest"])
def test_every_executor_passes_message_and_info(domain: int, make_executor: Any) -> None:
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    executor = make_executor(context)
    node = Node("listener", context=context)
    executor.add_node(node)
    received: list[tuple[Int32, Any]] = []
    node.create_subscription(
        Int32, "numbers", with_info(lambda message, info: received.append((message, info))), 10
    )
    publisher = node.create_publisher(Int32, "numbers", 10)
    for _ in range(200):
        if publisher.get_subscription_count() and node.count_publishers("numbers"):
            break
        executor.spin_once(timeout_sec=0.05)
    for number in range(5):
        publisher.publish(Int32(data=number))
    for _ in range(200):
        if len(received) >= 5:
            break
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    assert [message.data for message, _ in received] == [0, 1, 2, 3, 4]
    if os.environ["ROS_DISTRO"] == "humble":
        assert [info for _, info in received] == [{}] * 5, "Humble tells nothing"
        return
    numbers = [info["publication_sequence_number"] for _, info in received]
    first = numbers[0]
    assert numbers == ([None] * 5 if first is None else list(range(first, first + 5)))
    assert first is not None or get_rmw_implementation_identifier() != "rmw_fastrtps_cpp"
    assert all(info["source_timestamp"] > 0 for _, info in received)
