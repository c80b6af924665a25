"""The life of a process: how it ends and with which exit code."""

from __future__ import annotations

import signal
import sys

import pytest

pytestmark = pytest.mark.ros

PROGRAM = """
import sys
from threading import Timer
from trt_ssd_ros.ros.process import FailableNode, spin_node

class Example(FailableNode):
    def __init__(self):
        super().__init__("example")
        {start}
        self.create_timer(0.0, self.say_ready)

    def say_ready(self):
        if not hasattr(self, "ready"):
            self.ready = True
            print("ready", flush=True)

    def destroy_node(self):
        print("destroyed", flush=True)
        super().destroy_node()

sys.exit(spin_node(Example))
"""


def program(start: str = "pass") -> list[str]:
    """A program whose node does something at the start."""
    return [sys.executable, "-c", PROGRAM.format(start=start)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_is_an_orderly_end(start_process, number):
    process = start_process(program())
    process.wait_until_it_says("ready")
    process.send_signal(number)
    assert process.wait() == 0
    assert process.log.split() == ["ready", "destroyed"]


@pytest.mark.parametrize(
    ("start", "code"),
    [("Timer(0.3, self.context.try_shutdown).start()", 0), ("Timer(0.3, self.fail, ['broken']).start()", 1)],
    ids=["shut down", "failed"],
)
def test_a_node_can_end_its_process(start_process, start, code):
    process = start_process(program(start))
    assert process.wait() == code
    assert process.log.split()[-1] == "destroyed"
    assert "Traceback" not in process.log


def test_a_task_that_raises_ends_the_process_in_order(start_process):
    task = "self.call_in_executor(dict().__getitem__, 'missing')"
    process = start_process(program(f"self.create_timer(0.1, lambda: {task})"))
    assert process.wait() == 1
    assert "KeyError: 'missing'" in process.log
    assert process.log.split()[-1] == "destroyed"


def test_a_node_that_cannot_be_destroyed_is_an_error(start_process):
    broken = "self.destroy_node = lambda: (_ for _ in ()).throw(RuntimeError('it is stuck'))"
    process = start_process(program(broken))
    process.wait_until_it_says("ready")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 1
    assert "RuntimeError: it is stuck" in process.log


def test_a_callback_that_a_shutdown_overtakes_is_an_orderly_end(start_process):
    overtaken = "lambda: (self.context.try_shutdown(), self.count_publishers('images'))"
    process = start_process(program(f"self.create_timer(0.1, {overtaken})"))
    assert process.wait() == 0
    assert "Traceback (most recent call last)" not in process.log


@pytest.mark.parametrize(
    "start",
    [
        'raise ValueError("the thing is wrong")',
        'raise RuntimeError("the thing is wrong")',
        '[self.declare_parameter("the thing is wrong", 1) for _ in "ab"]',
    ],
    ids=["ValueError", "RuntimeError", "ParameterException"],
)
def test_what_the_user_can_correct_is_one_line(start_process, start):
    process = start_process(program(start))
    assert process.wait() == 1
    [line] = process.log.strip().splitlines()
    assert "[FATAL]" in line
    assert "the thing is wrong" in line


def test_a_signal_ends_the_process_of_a_node_that_cannot_be_made(start_process):
    start = (
        "import os, signal; from trt_ssd_ros.node.inference_executor import InferenceExecutor; "
        "InferenceExecutor(self.context, print); os.kill(os.getpid(), signal.SIGINT); raise ValueError('wrong')"
    )
    assert start_process(program(start)).wait() in (0, 1), "whichever ROS notices first"


def test_what_the_user_cannot_correct_shows_where_it_happened(start_process):
    process = start_process(program("dict()['missing']"))
    assert process.wait() == 1
    assert "Traceback" in process.log
    assert "KeyError: 'missing'" in process.log
