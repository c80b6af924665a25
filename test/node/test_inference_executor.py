"""InferenceExecutor: one thread does all the work and cleans up after itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException

from trt_ssd_ros.node.inference_executor import InferenceExecutor

pytestmark = pytest.mark.ros

PATIENCE = 20


@pytest.fixture
def context(domain: int) -> Iterator[Context]:
    """ROS, started."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    yield context
    context.try_shutdown()


@pytest.fixture
def executor(context: Context) -> Iterator[InferenceExecutor]:
    """One that runs."""
    executor = InferenceExecutor(context)
    yield executor
    executor.shutdown()


def test_works_in_one_thread_of_its_own_in_order(executor: InferenceExecutor) -> None:
    done: list[int] = []

    def work(number: int) -> threading.Thread:
        done.append(number)
        return threading.current_thread()

    futures = [executor.submit(lambda n=number: work(n)) for number in range(50)]
    threads = {future.result(PATIENCE) for future in futures}
    assert done == list(range(50))
    assert len(threads) == 1
    assert threads.pop() not in (threading.main_thread(), threading.current_thread())


def test_the_future_gets_the_exception_and_work_goes_on(executor: InferenceExecutor) -> None:
    failing = executor.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(PATIENCE)
    assert executor.submit(lambda: 42).result(PATIENCE) == 42


def test_shutdown_finishes_the_work_in_hand_and_closes_in_the_same_thread(executor: InferenceExecutor) -> None:
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


def test_work_that_waits_at_the_end_is_not_begun(executor: InferenceExecutor) -> None:
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


def test_closes_in_its_thread_when_ros_is_shut_down(executor: InferenceExecutor, context: Context) -> None:
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


def test_nobody_waits_for_ever_for_work_that_comes_too_late(executor: InferenceExecutor, context: Context) -> None:
    context.shutdown()
    executor.shutdown()
    future = executor.submit(lambda: 42)
    with pytest.raises(ExternalShutdownException):
        future.result(5)
