"""PlanCache between real processes: at once, killed, with builds that are made up and with TensorRT's own."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from plan_process import (
    BUILDING,
    KEY,
    PLAN,
    RTX_PATH,
    WAITING,
    WRITING_PLAN,
    WRITING_SIDECAR,
    PlanProcess,
)

from trt_ssd_ros.engines.build_progress import BuildCancelledError, LoggedProgress
from trt_ssd_ros.engines.plan_cache import Plan

MADE_UP = {"sha256": hashlib.sha256(PLAN).hexdigest(), "magic": PLAN[:4].decode("latin-1"), "size": len(PLAN)}
STAGES = (BUILDING, WRITING_PLAN, WRITING_SIDECAR)


@pytest.fixture(scope="module")
def rtx() -> str:
    if RTX_PATH not in os.environ:
        pytest.skip(f"needs TensorRT for RTX in the folder {RTX_PATH}, which is not set")
    return os.environ[RTX_PATH]


def kill_at(stage: str, folder: Path, rtx: str = "") -> None:
    with PlanProcess(folder, stage, rtx) as process:
        process.wait_for(stage)
        process.kill()


def endings(folder: Path) -> set[str]:
    return {path.name.removeprefix(KEY.stem) for path in folder.iterdir()}


@pytest.mark.parametrize("stage", STAGES)
def test_of_two_processes_at_once_one_builds_and_the_other_waits_and_loads(cache, stage):
    with PlanProcess(cache.folder, stage) as first:
        first.wait_for(stage)
        with PlanProcess(cache.folder) as second:
            second.wait_for(WAITING)
            first.go_on()
            assert first.obtained() == {**MADE_UP, "builds": 1}
            assert second.obtained() == {**MADE_UP, "builds": 0}


def test_two_real_builds_at_once_are_one(cache, rtx):
    with PlanProcess(cache.folder, BUILDING, rtx) as first:
        first.wait_for(BUILDING)
        with PlanProcess(cache.folder, rtx=rtx) as second:
            second.wait_for(WAITING)
            first.go_on()
            built, loaded = first.obtained(), second.obtained()
    assert (built["builds"], loaded["builds"]) == (1, 0)
    assert built | {"builds": 0} == loaded
    assert loaded["magic"] == "vtrt"


@pytest.mark.parametrize("stage", STAGES)
def test_if_the_one_that_builds_is_killed_the_one_that_waits_builds(cache, stage):
    with PlanProcess(cache.folder, stage) as first:
        first.wait_for(stage)
        with PlanProcess(cache.folder) as second:
            second.wait_for(WAITING)
            first.kill()
            assert second.obtained() == {**MADE_UP, "builds": 1}
    assert endings(cache.folder) == {".plan", ".json", ".lock"}


@pytest.mark.parametrize("stage", STAGES)
def test_after_a_kill_the_next_build_is_kept_and_nothing_half_written_is_left(cache, stage):
    kill_at(stage, cache.folder)
    assert any(ending.endswith(".part") for ending in endings(cache.folder)) == (stage != BUILDING)
    assert cache.obtain(KEY, lambda: PLAN, LoggedProgress()).content == PLAN
    assert cache.load(KEY).content == PLAN
    assert endings(cache.folder) == {".plan", ".json", ".lock"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_while_an_old_plan_is_replaced_leaves_no_mixture(cache, stage):
    cache.store(KEY, Plan(b"old", {}))
    cache.path(KEY, ".plan").write_bytes(b"damaged")
    kill_at(stage, cache.folder)
    assert cache.obtain(KEY, lambda: b"new", LoggedProgress()).content == b"new"
    assert cache.load(KEY).content == b"new"


def test_after_a_kill_in_a_real_build_the_next_one_builds(cache, rtx):
    kill_at(BUILDING, cache.folder, rtx)
    assert endings(cache.folder) == {".lock"}
    with PlanProcess(cache.folder, rtx=rtx) as process:
        built = process.obtained()
    assert (built["builds"], built["magic"]) == (1, "vtrt")
    assert hashlib.sha256(cache.load(KEY).content).hexdigest() == built["sha256"]


def test_waiting_ends_when_asked_to_and_the_other_one_builds_on(cache):
    said = []
    progress = LoggedProgress(cancelled=lambda: bool(said))
    progress.report = lambda *what: said.append(what)
    with PlanProcess(cache.folder, BUILDING) as process:
        process.wait_for(BUILDING)
        with pytest.raises(BuildCancelledError):
            cache.obtain(KEY, lambda: b"never built", progress)
        process.go_on()
        assert process.obtained() == {**MADE_UP, "builds": 1}
    assert said == [(WAITING, None)]


@pytest.mark.parametrize("change", [{"precision": "fp16"}, {"model": "other"}, {"gpu": "Orin"}])
def test_plans_for_different_keys_do_not_wait_for_each_other(cache, change):
    with PlanProcess(cache.folder, BUILDING) as process:
        process.wait_for(BUILDING)
        other = replace(KEY, **change)
        assert cache.obtain(other, lambda: b"other", LoggedProgress()).content == b"other"
        process.go_on()
        assert process.obtained() == {**MADE_UP, "builds": 1}
    assert cache.load(other).content == b"other"


def test_a_kept_plan_is_loaded_while_another_process_holds_the_lock(cache):
    with PlanProcess(cache.folder, WRITING_SIDECAR) as process:
        process.wait_for(WRITING_SIDECAR)
        cache.store(KEY, Plan(PLAN, {}))
        assert cache.obtain(KEY, lambda: b"never built", LoggedProgress()).content == PLAN
