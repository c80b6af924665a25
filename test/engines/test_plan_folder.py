"""PlanCache where its folder is missing, forbidden, full, or not its own."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from plan_process import KEY, PLAN

from trt_ssd_ros.engines import plan_cache
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.plan_cache import Plan, PlanCache, PlanKey, PlanMissingError, cache_folder

OTHER = replace(KEY, model="another/model")
UNPRIVILEGED = 65534
KERNELS = (".kernels", "-0000_01_00.0.kernels", "-0000_02_00.0.kernels")
"""Endings of the kernels of a plan: of a former version, and of two GPUs."""


@pytest.fixture
def said(hear: Callable[..., pytest.LogCaptureFixture]) -> pytest.LogCaptureFixture:
    return hear(plan_cache, logging.WARNING)


@pytest.fixture
def forbidden(cache: PlanCache) -> Iterator[PlanCache]:
    """A cache with a plan, in a folder that the user of the tests may not even list."""
    cache.store(KEY, Plan(PLAN, {}))
    mode, user = cache.folder.stat().st_mode, os.geteuid()
    cache.folder.chmod(0)
    if user == 0:
        os.seteuid(UNPRIVILEGED)
    yield cache
    os.seteuid(user)
    cache.folder.chmod(mode)


def obtain(cache: PlanCache, content: bytes = PLAN) -> bytes:
    return cache.obtain(KEY, lambda: content, LoggedProgress()).content


def touch_kernels(cache: PlanCache, key: PlanKey) -> None:
    cache.path(key, ".kernels").touch()
    for bus in (1, 2):
        cache.kernels_path(key, f"0000:0{bus}:00.0").touch()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "/home/me/.cache/trt_ssd_ros"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/trt_ssd_ros"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/trt_ssd_ros"),
        ({"TRT_SSD_ENGINE_DIR": "/plans"}, "/plans"),
        ({"TRT_SSD_ENGINE_DIR": "/plans", "XDG_CACHE_HOME": "/xdg"}, "/plans"),
        ({"TRT_SSD_ENGINE_DIR": "~/plans"}, "/home/me/plans"),
        ({"TRT_SSD_ENGINE_DIR": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/trt_ssd_ros"),
        pytest.param(
            {"XDG_CACHE_HOME": "relative"},
            "/home/me/.cache/trt_ssd_ros",
        ),
    ],
)
def test_the_folder_is_ours_else_the_user_s_else_home(monkeypatch, variables, folder):
    for name in ("TRT_SSD_ENGINE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


# ---- what is in it -------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_has_no_plans_and_is_not_made(cache):
    assert cache.entries() == []
    assert cache.clean() == []
    assert cache.notes(KEY) == {}
    cache.discard(KEY)
    with pytest.raises(PlanMissingError, match=r"^none is cached$"):
        cache.load(KEY)
    assert not cache.folder.exists()


def test_a_kept_plan_is_used_without_writing(cache):
    cache.store(KEY, Plan(PLAN, {}))
    before = names(cache.folder)
    assert obtain(cache, b"another") == PLAN
    assert names(cache.folder) == before == {f"{KEY.stem}.plan", f"{KEY.stem}.json"}


def test_all_plans_are_listed_by_name_with_what_they_are_for(cache):
    for key in (KEY, OTHER):
        cache.store(key, Plan(PLAN, {"seconds": 3}))
    (cache.folder / "zoo.plan").touch()
    assert [path.name for path, _ in cache.entries()] == [f"{OTHER.stem}.plan", f"{KEY.stem}.plan", "zoo.plan"]
    assert [sidecar and sidecar["key"]["model"] for _, sidecar in cache.entries()] == [
        "another/model",
        "ssd",
        None,
    ]


def test_discarding_a_plan_leaves_the_others(cache):
    for key in (KEY, OTHER):
        cache.store(key, Plan(PLAN, {}))
        touch_kernels(cache, key)
    cache.discard(KEY)
    assert names(cache.folder) == {f"{OTHER.stem}{ending}" for ending in (".plan", ".json", *KERNELS)}
    cache.discard(KEY)


def test_cleaning_deletes_all_that_is_kept_and_says_what(cache):
    obtain(cache)
    touch_kernels(cache, KEY)
    cache.path(KEY, ".planx7_2.part").touch()
    (cache.folder / "README.md").touch()
    deleted = {f"{KEY.stem}{ending}" for ending in (".plan", ".json", ".planx7_2.part", *KERNELS)}
    assert {path.name for path in cache.clean()} == deleted
    assert names(cache.folder) == {"README.md", f"{KEY.stem}.lock"}


@pytest.mark.parametrize("name", ["package.json", "yarn.lock", "film.part"])
def test_cleaning_leaves_what_is_not_ours(cache, name):
    obtain(cache)
    (cache.folder / name).touch()
    cache.clean()
    assert names(cache.folder) == {name, f"{KEY.stem}.lock"}


def test_others_may_read_what_is_kept_if_the_umask_lets_them(cache):
    previous = os.umask(0o022)
    try:
        obtain(cache)
    finally:
        os.umask(previous)
    assert {path.stat().st_mode & 0o777 for path in cache.folder.iterdir()} == {0o644}


# ---- where nothing can be written ----------------------------------------------------------------


@pytest.fixture(params=["below a file", "a file", "/proc"])
def unwritable(request: pytest.FixtureRequest, tmp_path: Path) -> PlanCache:
    """A cache that cannot be written by anybody, root included."""
    (tmp_path / "file").touch()
    folders = {
        "below a file": tmp_path / "file" / "plans",
        "a file": tmp_path / "file",
        "/proc": Path("/proc/plans"),
    }
    return PlanCache(folders[request.param])


def test_where_a_plan_cannot_be_kept_it_is_used_all_the_same(unwritable, said):
    assert obtain(unwritable) == PLAN
    (message,) = said.messages
    assert message.startswith(f"cannot store the plan ({unwritable.folder}: ")
    assert message.endswith("), so the next start rebuilds it: set TRT_SSD_ENGINE_DIR to a writable folder")


def test_a_forbidden_folder_is_one_without_plans(forbidden, said):
    assert obtain(forbidden) == PLAN
    assert "Permission denied" in said.text


def test_discarding_where_it_is_forbidden_is_no_error(forbidden):
    forbidden.discard(KEY)


def test_where_nothing_can_be_written_a_failing_build_tells_of_itself_only(unwritable):
    def fail() -> bytes:
        raise RuntimeError("TensorRT's words")

    with pytest.raises(RuntimeError, match="TensorRT's words") as raised:
        unwritable.obtain(KEY, fail, LoggedProgress())
    assert raised.value.__context__ is None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_where_there_are_no_locks_a_plan_is_built_and_kept(cache, monkeypatch, number):
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert obtain(cache) == cache.load(KEY).content == PLAN


@contextmanager
def disk_with(free: int) -> Iterator[None]:
    """No file may grow beyond this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("free", [0, 100, len(PLAN) - 1])
def test_on_a_full_disk_the_plan_is_used_and_nothing_is_left(cache, said, free):
    with disk_with(free):
        assert obtain(cache) == PLAN
    assert names(cache.folder) == {f"{KEY.stem}.lock"}
    assert "cannot store the plan" in said.text
    assert "File too large" in said.text
    assert obtain(cache, b"the next") == b"the next"


def test_where_only_the_sidecar_does_not_fit_the_plan_is_built_again(cache):
    with disk_with(200):
        assert obtain(cache, PLAN[:100]) == PLAN[:100]
    assert names(cache.folder) == {f"{KEY.stem}.lock", f"{KEY.stem}.plan"}
    assert obtain(cache) == cache.load(KEY).content == PLAN


def test_a_disk_that_is_full_in_the_end_leaves_the_plan_that_was_there(cache, said, monkeypatch):
    cache.store(KEY, Plan(PLAN, {}))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    cache.store(KEY, Plan(b"another", {}))
    assert "No space left on device" in said.text
    assert cache.load(KEY).content == PLAN
    assert names(cache.folder) == {f"{KEY.stem}.plan", f"{KEY.stem}.json"}
