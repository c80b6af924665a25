"""What the locator says about objects without a place: in /diagnostics always, in the log when it begins."""

from __future__ import annotations

from typing import Any

import pytest
from depth_rig import header
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper

from trt_ssd_ros.depth.located_frame import LocatedFrame, UnlocatedError
from trt_ssd_ros.depth.placement import Reason
from trt_ssd_ros.depth.report import PAUSE, SPAN, START, LocatorReport

pytestmark = pytest.mark.ros


class Log:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.info = self.warning = self.error = self.lines.append


class Bench:
    """A report, its log and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = Log()
        self.report = LocatorReport(self.log, lambda: self.now)  # type: ignore[arg-type]
        self.now = START

    def fail(self, objects: int, reason: Reason, text: str) -> None:
        """Lose the objects of an image."""
        self.report.note_failure(objects, UnlocatedError(reason, lambda: text))

    def place(self, placed: int, *unplaced: Reason) -> None:
        """Place objects of an image."""
        objects: list[Any] = [None] * placed
        self.report.note_frame(LocatedFrame(header(1), objects=objects, unplaced=unplaced, offset=2_000_000))

    def status(self, active: bool = True) -> tuple[bytes, str, dict[str, str]]:
        """Level, message and values of the status."""
        status = self.report.fill(DiagnosticStatusWrapper(), active, {}, lambda: "no publisher")
        return status.level, status.message, {value.key: value.value for value in status.values}


@pytest.fixture
def bench() -> Bench:
    """A new report, after the time in which it only counts."""
    return Bench()


def test_nothing_has_come_yet(bench):
    assert bench.status()[:2] == (DiagnosticStatus.WARN, "no detections arrive: no publisher")
    assert bench.status(active=False)[0] == DiagnosticStatus.OK


def test_images_without_objects_are_no_problem(bench):
    bench.place(0)
    assert bench.status()[:2] == (DiagnosticStatus.OK, "no objects in the last 5 s")


def test_each_object_is_counted_once(bench):
    bench.place(2, Reason.NO_DEPTH, Reason.OUT_OF_RANGE)
    bench.fail(3, Reason.NO_TRANSFORM, "from a to b")
    level, message, values = bench.status()
    assert level == DiagnosticStatus.WARN
    assert message.startswith("2 of 7 objects placed in the last 5 s, 3: no transform, 1: ")
    assert message.endswith("; no transform: from a to b")
    assert (values["objects"], values["placed"], values["no transform"]) == ("7", "2", "3")
    assert values["depth offset p50 ms"] == "2.0"
    bench.place(1)
    assert bench.status()[0] == DiagnosticStatus.OK
    bench.now += SPAN + 1
    assert bench.status()[1] == "no detections arrive: no publisher"
    assert bench.status()[2]["objects"] == "8"


def test_the_log_tells_of_a_problem_once_and_of_its_end(bench):
    for number in range(50):
        bench.fail(2, Reason.NO_DEPTH_IMAGE, f"the nearest stamp is {-number} ms away")
        bench.now += 1.0
    assert bench.log.lines == ["no place for 2 objects: no depth image: the nearest stamp is 0 ms away"]
    bench.place(0, Reason.NO_DEPTH)
    assert bench.log.lines[1:] == ["no place for an object: no depth in the box"]
    bench.place(1)
    bench.place(1)
    assert bench.log.lines[2:] == ["objects are placed again"]


def test_a_problem_that_comes_and_goes_is_logged_again_after_a_pause(bench):
    for _ in range(3):
        bench.place(1, Reason.NO_DEPTH)
        bench.now += PAUSE / 2
    assert len(bench.log.lines) == 1
    bench.now += PAUSE
    bench.place(1, Reason.NO_DEPTH)
    bench.fail(1, Reason.NO_CALIBRATION, "no camera_info")
    assert len(bench.log.lines) == 3


def test_problems_of_the_first_moments_are_counted_but_not_logged(bench):
    bench.report.start()
    bench.fail(1, Reason.NO_CALIBRATION, "no camera_info")
    bench.place(1)
    assert bench.log.lines == []
    assert bench.status()[2]["no calibration"] == "1"


def test_an_error_of_the_placement_is_logged_with_its_traceback(bench):
    try:
        raise UnlocatedError(Reason.FAILED, lambda: "broken") from ZeroDivisionError("broken")
    except UnlocatedError as error:
        bench.report.note_failure(1, error)
    assert bench.log.lines[0] == "no place for 1 object: placement failed: broken"
    assert "ZeroDivisionError" in bench.log.lines[1]
