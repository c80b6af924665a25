"""Signals wait while an executor starts to spin, and for nothing else."""

from __future__ import annotations

import signal
from contextlib import suppress
from threading import Thread

import pytest
from rclpy.executors import ExternalShutdownException

from trt_ssd_ros.node.inference_executor import InferenceExecutor
from trt_ssd_ros.ros.process import TERMINATION_SIGNALS, new_executor, signals_blocked, spin

pytestmark = pytest.mark.ros


def blocked() -> set[signal.Signals]:
    return {
        signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    } & TERMINATION_SIGNALS


@pytest.fixture
def taken() -> list[int]:
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def test_a_signal_waits_until_the_block_is_left(taken):
    with signals_blocked():
        signal.raise_signal(signal.SIGTERM)
        assert taken == []
    assert taken == [signal.SIGTERM]


def test_threads_that_start_meanwhile_never_take_one():
    masks = []
    with signals_blocked():
        thread = Thread(target=lambda: masks.append(blocked()))
        thread.start()
    thread.join()
    assert masks == [TERMINATION_SIGNALS]
    assert blocked() == set()


def test_the_inference_thread_takes_none(probe):
    inference = InferenceExecutor(probe.context, print)
    assert inference.submit(blocked).result() == TERMINATION_SIGNALS
    inference.shutdown()
    assert blocked() == set()


def test_signals_wait_until_the_executor_spins(probe):
    executor = new_executor(probe.context)
    seen: list[set[signal.Signals]] = []
    executor.create_task(lambda: seen.append(blocked()))

    def after() -> None:
        seen.append(blocked())
        probe.context.try_shutdown()

    timer = probe.node.create_timer(0.05, after)
    executor.add_node(probe.node)
    with suppress(ExternalShutdownException):
        spin(executor)
    timer.destroy()
    assert seen == [TERMINATION_SIGNALS, set()]
    assert blocked() == set()
