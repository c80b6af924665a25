"""Launch argument on_exit: real launches whose nodes are killed."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from node_process import NodeProcess

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.launching.exits import Respawn, exit_cause

pytestmark = pytest.mark.ros

SUPPORT = Path(__file__).parents[1] / "support"
READY = "waiting for images"
BRINGUP = """
<launch>
  <executable name="listener" cmd="{python} {listener}" output="screen"/>
  <group>
    <push_ros_namespace namespace="robot"/>
    <include file="{detect}">{arguments}</include>
  </group>
</launch>
"""


@pytest.fixture
def start_bringup(start_process: Any, tmp_path: Path) -> Any:
    """Start the launch file of a robot, which includes ours with arguments: start_bringup(on_exit="respawn")."""

    def start(**arguments: str) -> NodeProcess:
        path = tmp_path / "bringup.launch.xml"
        given = "".join(f'<arg name="{name}" value="{value}"/>' for name, value in arguments.items())
        detect = share_folder() / "launch" / "detect.launch.py"
        listener = SUPPORT / "listener.py"
        path.write_text(BRINGUP.format(python=sys.executable, listener=listener, detect=detect, arguments=given))
        return start_process([sys.executable, str(SUPPORT / "run_launch.py"), str(path)])

    return start


def starts(process: NodeProcess, executable: str) -> list[int]:
    """Return the process ids of an executable, in the order of their starts."""
    found = re.findall(rf"\[{executable}-\d+\]: process started with pid \[(\d+)\]", process.log)
    return [int(pid) for pid in found]


def await_detector(process: NodeProcess, probe: Any, start: int) -> None:
    """Wait until the detector of a start, counted from 1, waits for images."""
    probe.spin_until(lambda: process.log.count(READY) == start or not process.running, f"start {start}")
    assert process.running


def test_a_killed_detector_leaves_the_robot_running(start_bringup, probe):
    process = start_bringup()
    process.wait_until_it_says("listening")
    await_detector(process, probe, 1)
    os.kill(starts(process, "detector_node")[0], signal.SIGKILL)
    process.wait_until_it_says("process has died")
    assert probe.get_parameter("use_sim_time", "listener") is False
    assert process.running
    assert len(starts(process, "detector_node")) == 1


def test_a_killed_detector_is_restarted_in_its_namespace_after_growing_delays(start_bringup, probe):
    process = start_bringup(on_exit="respawn", score_threshold="0.75")
    for start, delay in [(1, "1 s"), (2, "2 s"), (3, "4 s")]:
        await_detector(process, probe, start)
        if start == 2:
            assert probe.get_parameter("score_threshold", "robot/detector") == 0.75
        os.kill(starts(process, "detector_node")[-1], signal.SIGKILL)
        process.wait_until_it_says(f"[detector_node-{start + 1}]: killed by SIGKILL: restart in {delay}")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert len(starts(process, "detector_node")) == 3
    assert len(starts(process, "listener")) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, 1), (signal.SIGTERM, 0)])
def test_a_launch_of_its_own_ends_with_the_detector(start_launch, number, code):
    process = start_launch()
    process.wait_until_it_says(READY)
    os.kill(starts(process, "detector_node")[0], number)
    assert process.wait() == code


def test_our_camera_is_restarted_beside_a_running_detector(start_launch):
    process = start_launch("source:=file:/no/such/photo.jpg", "on_exit:=respawn", "composed:=false")
    for delay in ("1 s", "2 s"):
        process.wait_until_it_says(f"ended with exit code 1: restart in {delay}")
    process.wait_until_it_says(READY)
    assert len(starts(process, "detector_node")) == 1


def test_the_deprecated_argument_restarts_and_warns_once(start_launch):
    process = start_launch("source:=file:/no/such/photo.jpg", "respawn:=true")
    process.wait_until_it_says("restart in 1 s")
    assert process.log.count("respawn:=true is deprecated: use on_exit:=respawn") == 1


def test_the_delay_doubles_to_half_a_minute_and_falls_after_a_stable_run():
    respawn, now, delays = Respawn(), monotonic(), []
    for run in (0, 1, 2, 59, 0, 0, 0, 61, 0):
        now += run
        delays.append(respawn.next_delay(now))
        now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 30, 30, 1, 2]


@pytest.mark.parametrize(
    ("code", "said"), [(0, "ended with exit code 0"), (-15, "killed by SIGTERM"), (-40, "killed by signal 40")]
)
def test_the_cause_of_an_exit_is_named(code, said):
    assert exit_cause(code) == said
