from __future__ import annotations

import logging
import re
import threading
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.engines import build_progress
from trt_ssd_ros.engines.build_progress import BuildCancelledError, LoggedProgress, PhaseTree


def test_the_steps_of_one_phase_share_the_whole():
    tree = PhaseTree()
    tree.start("build", None, 4)
    assert [tree.step("build", index) for index in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_the_phases_within_a_step_share_what_it_has():
    tree = PhaseTree()
    tree.start("build", None, 2)
    tree.start("optimise", "build", 2)
    tree.start("time", "optimise", 2)
    assert tree.step("time", 0) == 0.125
    assert tree.step("time", 1) == 0.25
    assert tree.step("optimise", 0) == 0.25
    assert tree.step("optimise", 1) == 0.5
    assert tree.step("build", 0) == 0.5
    tree.start("write", "build", 5)
    assert tree.step("write", 0) == 0.6
    assert tree.step("build", 1) == 1.0


def test_a_phase_that_begins_again_does_not_take_back_what_was_done():
    tree = PhaseTree()
    tree.start("build", None, 1)
    tree.start("time", "build", 2)
    assert tree.step("time", 1) == 1.0
    tree.start("time", "build", 2)
    assert tree.step("time", 0) == 1.0


@pytest.mark.parametrize("steps", [0, -1])
def test_a_phase_without_steps_has_one(steps):
    tree = PhaseTree()
    tree.start("build", None, steps)
    assert tree.step("build", 0) == 1.0


def test_more_steps_than_were_announced_are_not_more_than_all():
    tree = PhaseTree()
    tree.start("build", None, 2)
    assert tree.step("build", 7) == 1.0


NAMES = ("build", "optimise", "time", "write")


@st.composite
def reports(draw: st.DrawFn) -> list[tuple]:
    """Phases that start in or after each other, and again, and steps of them in any order."""
    events, parents = [("start", "build", None, draw(st.integers(0, 5)))], ["build"]
    for _ in range(draw(st.integers(0, 40))):
        name = draw(st.sampled_from(NAMES))
        if name not in parents:
            events.append(("start", name, draw(st.sampled_from(parents)), draw(st.integers(0, 5))))
            parents.append(name)
        else:
            events.append(("step", name, draw(st.integers(0, 6))))
    return events


@settings(max_examples=200)
@given(reports())
def test_the_fraction_never_falls_and_stays_between_0_and_1(events):
    tree, fractions = PhaseTree(), [0.0]
    for kind, *details in events:
        done = getattr(tree, kind)(*details)
        fractions += [] if done is None else [done]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1.0


@pytest.mark.parametrize("start", [(), ("known", "never started", 2)])
def test_phases_that_never_started_are_no_error(start):
    tree = PhaseTree()
    if start:
        tree.start(*start)
    assert 0 <= tree.step("known", 0) <= 1


class Lines(logging.Handler):
    """What was logged, a line after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._more = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self._more.release()

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._more.acquire(timeout=30)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    logger, lines = logging.Logger("progress"), Lines()
    logger.addHandler(lines)
    monkeypatch.setattr(build_progress, "LOGGER", logger)
    return lines


def test_what_is_being_done_is_logged_again_and_again(lines):
    with LoggedProgress(seconds=0.001) as progress:
        lines.wait_for(2)
        progress.report("building the plan", 0.254)
        lines.wait_for(3)
        progress.report("opening the plan", None)
        lines.wait_for(3)
    done = [re.fullmatch(r"(.*) \(\d+ s so far\)", text).group(1) for text in lines.texts]
    assert [text for text, _ in groupby(done)] == ["starting", "building the plan, 25%", "opening the plan"]


def test_once_left_nothing_more_is_logged_and_no_thread_is_left(lines):
    threads = threading.active_count()
    progress = LoggedProgress(seconds=0.001)
    for _ in range(2):
        with progress:
            lines.wait_for(1)
        assert threading.active_count() == threads


def test_a_line_is_logged_after_every_interval(lines, monkeypatch):
    waits = []

    class EndsThen(threading.Event):
        """Three intervals go by at once, then it is the end."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return len(waits) > 3

    monkeypatch.setattr(build_progress, "Event", EndsThen)
    with LoggedProgress(seconds=7):
        lines.wait_for(3)
    assert waits == [7, 7, 7, 7]
    assert len(lines.texts) == 3


def test_leaving_by_an_error_stops_the_log_too():
    threads = threading.active_count()
    with pytest.raises(BuildCancelledError, match="the build was cancelled"), LoggedProgress():
        raise BuildCancelledError
    assert threading.active_count() == threads


def test_whether_to_stop_is_asked_of_whoever_made_it():
    assert not LoggedProgress().cancelled()
    assert LoggedProgress(lambda: True).cancelled()
