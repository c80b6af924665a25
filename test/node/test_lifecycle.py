"""The detector node's life as a lifecycle manager sees it, over real DDS.

TRT_SSD_ENDURANCE=1 runs the full numbers of cycles.
"""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from image_messages import blank_image
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from probe import Probe

pytestmark = pytest.mark.ros

PATHS: dict[str, list[str]] = {
    "unconfigured": [],
    "inactive": ["configure"],
    "active": ["configure", "activate"],
    "finalized": ["shutdown"],
}
LEGAL = {
    "unconfigured": {"configure", "shutdown"},
    "inactive": {"activate", "cleanup", "shutdown"},
    "active": {"deactivate", "shutdown"},
    "finalized": set(),
}
LABELS = ("configure", "cleanup", "activate", "deactivate", "shutdown", "transition_success", "create", "nonsense")
SWITCHES, SETUPS = (1000, 200) if os.environ.get("TRT_SSD_ENDURANCE") == "1" else (30, 10)
WARM_UP = 5
GROWTH = 4 << 20
"""Bytes that the node may grow by: the noise of allocators, 4 kB for each of the full number of cycles."""


def walk(probe: Probe, *transitions: str) -> None:
    """Ask for transitions that must be done."""
    for transition in transitions:
        assert probe.change_state(transition), transition


def reach(probe: Probe, state: str) -> None:
    """Wait for a state."""
    probe.spin_until(lambda: probe.state() == state, f"state {state}")


def test_a_manager_leads_it_through_its_life(client, start_blank_detector):
    process, probe = start_blank_detector(autostart=False), client.probe
    assert probe.state() == "unconfigured"
    assert "the engine opens" not in process.log
    walk(probe, "configure")
    assert probe.state() == "inactive"
    assert probe.node.count_subscribers("image") == 0
    for _ in range(2):
        walk(probe, "activate")
        client.ask(blank_image())
        walk(probe, "deactivate")
        probe.spin_until(lambda: probe.node.count_subscribers("image") == 0, "the end of the subscription")
    assert "the engine is closed" not in process.log, "deactivate keeps the engine"
    walk(probe, "cleanup")
    process.wait_until_it_says("the engine is closed")
    walk(probe, "configure", "activate")
    client.ask(blank_image())
    walk(probe, "shutdown")
    assert probe.state() == "finalized"
    assert process.log.count("the engine opens") == process.log.count("the engine is closed") == 2


@pytest.mark.parametrize("state", PATHS)
def test_illegal_transitions_are_refused_in_every_state(probe, start_blank_detector, state):
    process = start_blank_detector(autostart=False)
    walk(probe, *PATHS[state])
    for label in LABELS:
        if label not in LEGAL[state]:
            assert not probe.change_state(label), label
            process.wait_until_it_says(f"{label} is refused in state {state}; possible: ")
            assert probe.state() == state
    for number in (Transition.TRANSITION_CREATE, Transition.TRANSITION_CALLBACK_SUCCESS, 255):
        request = ChangeState.Request(transition=Transition(id=number))
        assert not probe.call(ChangeState, "detector/change_state", request).success, number
    assert probe.state() == state
    for label in sorted(LEGAL[state])[:1]:
        walk(probe, label)


def test_transitions_are_refused_while_the_engine_closes(probe, start_blank_detector, rig):
    process = start_blank_detector(autostart=False)
    service = probe.node.create_client(ChangeState, "detector/change_state")
    for leaving, state, end in (
        ("cleanup", "cleaningup", "unconfigured"),
        ("shutdown", "shuttingdown", "finalized"),
    ):
        walk(probe, "configure", "activate", *(["deactivate"] if leaving == "cleanup" else []))
        (rig / "hold_close").touch()
        done = service.call_async(ChangeState.Request(transition=Transition(label=leaving)))
        reach(probe, state)
        for label in LABELS:
            assert not probe.change_state(label), label
            process.wait_until_it_says(f"{label} is refused while {leaving} is in progress")
        assert not done.done()
        (rig / "hold_close").unlink()
        probe.spin_until(done.done, f"the answer of {leaving}")
        assert done.result().success
        assert probe.state() == end


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_shuts_down_from_every_state(probe, start_blank_detector, state):
    process = start_blank_detector(autostart=False)
    walk(probe, *PATHS[state], "shutdown")
    assert probe.state() == "finalized"
    assert process.log.count("the engine opens") == process.log.count("the engine is closed")


def test_a_failed_configure_says_why_and_can_be_tried_again(probe, start_blank_detector, rig):
    process = start_blank_detector(autostart=False)
    (rig / "fail_open").write_text("the plan is torn")
    assert not probe.change_state("configure")
    assert probe.state() == "unconfigured"
    process.wait_until_it_says("the plan is torn")
    assert "Traceback" not in process.log
    (rig / "fail_open").unlink()
    walk(probe, "configure", "activate")


def test_a_bug_in_a_transition_is_logged_and_survived(probe, start_blank_detector, rig):
    process = start_blank_detector(autostart=False)
    (rig / "bug_open").touch()
    assert not probe.change_state("configure")
    process.wait_until_it_says("KeyError: 'a bug'")
    assert "Traceback" in process.log
    reach(probe, "unconfigured")
    (rig / "bug_open").unlink()
    walk(probe, "configure", "activate")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def test_an_engine_that_does_not_close_is_given_up(probe, start_blank_detector, rig):
    process = start_blank_detector(autostart=False)
    (rig / "fail_close").touch()
    walk(probe, "configure")
    assert not probe.change_state("cleanup")
    process.wait_until_it_says(
        "the GPU does not let go; the transition cannot be undone: the node becomes unconfigured"
    )
    reach(probe, "unconfigured")
    walk(probe, "configure", "shutdown")
    process.wait_until_it_says("cannot release all resources: the GPU does not let go")
    assert probe.state() == "finalized"


def test_an_engine_that_does_not_close_at_the_end_is_told_in_one_line(probe, start_blank_detector, rig):
    process = start_blank_detector(autostart=False)
    (rig / "fail_close").touch()
    walk(probe, "configure")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert process.log.count("cannot release all resources: the GPU does not let go") == 1
    assert "Traceback" not in process.log


def test_a_bug_on_the_way_up_ends_the_process(start_blank_detector, rig):
    (rig / "bug_open").touch()
    process = start_blank_detector()
    assert process.wait() == 1
    [fatal] = [line for line in process.log.splitlines() if "[FATAL]" in line]
    assert "KeyError: 'a bug'" in fatal


def test_answers_while_the_engine_opens(client, start_blank_detector, rig):
    (rig / "hold_open").touch()
    process, probe = start_blank_detector(**{"diagnostic_updater.period": 0.1}), client.probe
    process.wait_until_it_says("the engine opens")
    assert probe.state() == "configuring"
    assert probe.set_parameter("score_threshold", 0.5).successful
    for transition in ("configure", "activate", "shutdown"):
        assert not probe.change_state(transition)
    process.wait_until_it_says("shutdown is refused while configure is in progress")
    probe.spin_until(lambda: client.message() == "building something, 50%", "progress in /diagnostics")
    assert client.status()["state"] == "configuring"
    assert client.status()["doing"] == "building something, 50%"
    (rig / "hold_open").unlink()
    reach(probe, "active")
    client.ask(blank_image())


def test_answers_while_the_engine_runs_and_stops_at_once(client, start_blank_detector, rig):
    process, probe = start_blank_detector(**{"diagnostic_updater.period": 0.1}), client.probe
    client.ask(blank_image())
    (rig / "hold_run").touch()
    runs, last = process.log.count("the engine runs"), blank_image()
    client.send(last)
    probe.spin_until(lambda: process.log.count("the engine runs") > runs, "the engine to run")
    assert probe.set_parameter("score_threshold", 0.5).successful
    assert probe.state() == "active"
    walk(probe, "deactivate")
    (rig / "hold_run").unlink()
    probe.spin_until(lambda: client.status().get("discarded") == "1", "the image in /diagnostics")
    assert last.header.stamp not in [answer.header.stamp for answer in client.answers]
    (rig / "hold_run").touch()
    walk(probe, "activate")
    (rig / "hold_run").unlink()
    client.ask(blank_image())


@pytest.mark.parametrize("ways", [("deactivate", "activate"), ("deactivate", "cleanup", "configure", "activate")])
def test_cycles_leave_nothing_behind(probe, start_blank_detector, ways):
    process = psutil.Process(start_blank_detector().pid)
    reach(probe, "active")

    def cycle(times: int) -> tuple[int, int, int]:
        for _ in range(times):
            walk(probe, *ways)
        return process.memory_info().rss, process.num_threads(), process.num_fds()

    before = cycle(WARM_UP)
    after = cycle(SWITCHES if len(ways) == 2 else SETUPS)
    print(f"rss, threads, descriptors: {before}, then {after}")
    assert after[0] < before[0] + GROWTH
    assert after[1:] == before[1:]
