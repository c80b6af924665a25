"""The watch over a camera's input, beside other cameras that keep the engine busy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from trt_ssd_ros.node import input_watch
from trt_ssd_ros.node.input_watch import InputWatch

pytestmark = pytest.mark.ros


class Rig:
    """A watch of a camera that sends nothing, with a clock and an executor that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(input_watch, "monotonic", lambda: self.now)
        self.logged: list[str] = []
        self.postponed = False
        self.executor = SimpleNamespace(
            is_waiting=True, cycles=0, busy_seconds=0.0, postpones=lambda _: self.postponed
        )
        channel = SimpleNamespace(
            name="side",
            input=SimpleNamespace(
                topic="/side/image",
                camera=None,
                type_name="sensor_msgs/msg/Image",
                opened=object(),
                list_publishers=list,
                list_image_topics=lambda: ["/cam3"],
            ),
            counts=SimpleNamespace(taken=0),
            logger=SimpleNamespace(info=self.logged.append, warning=self.logged.append),
            stamps=SimpleNamespace(problem=lambda _: ""),
            is_open=True,
            refusal="",
            throttle_delay=lambda _: 0.0,
        )
        callbacks: list[Any] = []
        node = SimpleNamespace(
            call_every=lambda _, callback: callbacks.append(callback),
            get_parameter=lambda _: SimpleNamespace(value=5.0),
            get_clock=lambda: SimpleNamespace(ros_time_is_active=False),
        )
        watch: Any = InputWatch
        self.watch = watch(node, channel, self.executor, lambda: None)
        self.watch.restart()
        self._check = callbacks[0]

    def check(self, *, cycles: int, times: int = 20) -> None:
        """Check every half second; the executor ends a number of waits before each check."""
        for _ in range(times):
            self.now += 0.5
            self.executor.cycles += cycles
            self._check()


@pytest.fixture
def rig(monkeypatch):
    return Rig(monkeypatch)


def test_finds_a_silent_camera_while_others_keep_the_engine_busy_and_stays_with_it(rig):
    rig.executor.is_waiting = False
    rig.check(cycles=15, times=60)
    assert len(rig.logged) == 1
    advice = "remap side/image (launch: side=topic:... in cameras) to one of /cam3"
    assert rig.logged[0] == f"/side/image has no publisher: {advice}"
    assert rig.watch.finding.kind == "no publisher"


def test_blames_no_camera_while_the_engine_runs_one_batch_or_is_built(rig):
    rig.executor.is_waiting = False
    rig.check(cycles=0)
    assert not rig.logged


def test_blames_no_camera_whose_image_waits_for_its_turn(rig):
    rig.executor.is_waiting, rig.postponed = False, True
    rig.check(cycles=1)
    assert not rig.logged
