from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_process import KEY, PLAN

from trt_ssd_ros.engines import plan_cache
from trt_ssd_ros.engines.build_progress import BuildCancelledError, LoggedProgress
from trt_ssd_ros.engines.plan_cache import Plan, PlanCache, PlanKey, PlanMissingError

PROGRESS = LoggedProgress()


class Builder:
    """Makes a plan and counts how often."""

    def __init__(self, content: bytes = PLAN) -> None:
        self.content = content
        self.builds = 0

    def __call__(self) -> bytes:
        self.builds += 1
        return self.content


@pytest.fixture
def kept(cache: PlanCache) -> PlanCache:
    """A cache that has the plan of KEY."""
    cache.store(KEY, Plan(PLAN, {"seconds": 1.5}))
    return cache


@pytest.fixture
def said(hear: Callable[..., pytest.LogCaptureFixture]) -> pytest.LogCaptureFixture:
    return hear(plan_cache)


def builds_to_obtain(cache: PlanCache, key: PlanKey = KEY, content: bytes = PLAN) -> int:
    """How many builds it takes to obtain a good plan, twice."""
    builder = Builder(content)
    for _ in range(2):
        assert cache.obtain(key, builder, PROGRESS).content == content
    return builder.builds


def endings(folder: Path) -> set[str]:
    """The endings of the files of KEY; there are no others."""
    return {path.name.removeprefix(KEY.stem) for path in folder.iterdir()}


def edit(cache: PlanCache, **changes: object) -> None:
    """Change fields of the sidecar of KEY; None takes one away."""
    path = cache.path(KEY, ".json")
    sidecar = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps({name: value for name, value in sidecar.items() if value is not None}))


# ---- one that is whole ---------------------------------------------------------------------------


def test_a_plan_is_built_once_and_kept(cache, said):
    assert builds_to_obtain(cache) == 1
    assert builds_to_obtain(PlanCache(cache.folder)) == 0
    assert said.messages == ["building the fp32 plan of ssd: none is cached"]
    assert endings(cache.folder) == {".plan", ".json", ".lock"}


def test_the_sidecar_notes_time_and_duration(cache):
    plan = cache.obtain(KEY, Builder(), PROGRESS)
    assert set(plan.notes) == {"seconds", "built_at"}
    assert plan.notes["seconds"] >= 0
    assert datetime.fromisoformat(plan.notes["built_at"]).tzinfo == timezone.utc
    assert cache.load(KEY) == plan
    assert cache.notes(KEY) == plan.notes


def test_notes_may_be_added_and_the_plan_stays(kept):
    plan = kept.load(KEY)
    kept.store(KEY, Plan(plan.content, {**plan.notes, "choice": {"precision": "fp16"}}))
    assert kept.notes(KEY) == {"seconds": 1.5, "choice": {"precision": "fp16"}}
    assert builds_to_obtain(kept) == 0


@pytest.mark.parametrize("error", [BuildCancelledError(), RuntimeError("TensorRT's words")])
def test_a_build_that_fails_leaves_nothing_and_the_next_one_is_kept(cache, error):
    def fail() -> bytes:
        raise error

    with pytest.raises(type(error), match=str(error)):
        cache.obtain(KEY, fail, PROGRESS)
    assert endings(cache.folder) == {".lock"}
    assert builds_to_obtain(cache) == 1


OTHERS = {
    "version": ("11.4", "version was 1.6.1, is 11.4"),
    "gpu": ("Orin", "gpu was NVIDIA A100, is Orin"),
    "graph": ("1" * 64, f"graph was {'0' * 64}, is {'1' * 64}"),
    "precision": ("fp16", "precision was fp32, is fp16"),
}


@pytest.mark.parametrize("field", OTHERS)
def test_another_key_is_built_beside_it_and_the_nearest_is_named(kept, said, field):
    value, difference = OTHERS[field]
    kept.store(replace(KEY, model="other", flavour="tensorrt", graph="2"), Plan(b"farther", {}))
    other = replace(KEY, **{field: value})
    assert builds_to_obtain(kept, other, b"another plan") == 1
    assert said.messages[0].endswith(f": none is cached for this; the nearest: {difference}")
    assert builds_to_obtain(kept) == 0


# ---- one that is damaged or for something else ---------------------------------------------------


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


DAMAGED_PLANS = {
    "longer": PLAN + b"\0",
    **{f"cut to {i}/16": PLAN[: len(PLAN) * i // 16] for i in range(16)},
    **{f"bit at {i}/50": flipped(PLAN, i * (len(PLAN) - 1) // 49) for i in range(50)},
}


@pytest.mark.parametrize("damaged", DAMAGED_PLANS.values(), ids=DAMAGED_PLANS)
def test_a_damaged_plan_is_never_used(kept, said, damaged):
    kept.path(KEY, ".plan").write_bytes(damaged)
    with pytest.raises(PlanMissingError, match=r"the cached plan is damaged \(its SHA-256 does not match\)"):
        kept.load(KEY)
    assert builds_to_obtain(kept) == 1
    assert len(said.messages) == 1


NO_SIDECAR = "the cached plan has no readable sidecar"
SIDECARS = {
    "missing": (lambda cache: cache.path(KEY, ".json").unlink(), NO_SIDECAR),
    "empty": (lambda cache: cache.path(KEY, ".json").write_bytes(b""), NO_SIDECAR),
    "a folder": (lambda cache: (cache.path(KEY, ".json").unlink(), cache.path(KEY, ".json").mkdir()), NO_SIDECAR),
    "not UTF-8": (lambda cache: cache.path(KEY, ".json").write_bytes(b"\xff{}"), NO_SIDECAR),
    "too deep": (lambda cache: cache.path(KEY, ".json").write_bytes(b"[" * 10**6), NO_SIDECAR),
    "a list": (lambda cache: cache.path(KEY, ".json").write_text("[]"), NO_SIDECAR),
    "of another format": (lambda cache: edit(cache, format=2), NO_SIDECAR),
    "without key": (lambda cache: edit(cache, key=None), NO_SIDECAR),
    "with a key that is a list": (lambda cache: edit(cache, key=["gpu"]), NO_SIDECAR),
    "with notes that are text": (lambda cache: edit(cache, notes="none"), NO_SIDECAR),
    "without digest": (lambda cache: edit(cache, sha256=None), "the cached plan is damaged"),
    "with a digest that is none": (lambda cache: edit(cache, sha256=7), "the cached plan is damaged"),
    "of another GPU": (
        lambda cache: edit(cache, key=replace(KEY, gpu="Orin").as_json()),
        r"the cached plan is for something else \(gpu was Orin, is NVIDIA A100\)",
    ),
    "without a plan": (
        lambda cache: cache.path(KEY, ".plan").unlink(),
        r"the cached plan cannot be read \(No such file or directory\)",
    ),
}


@pytest.mark.parametrize(("damage", "message"), SIDECARS.values(), ids=SIDECARS)
def test_a_plan_whose_sidecar_is_not_its_own_is_never_used(kept, damage, message):
    damage(kept)
    with pytest.raises(PlanMissingError, match=message):
        kept.load(KEY)


def test_a_sidecar_that_is_for_something_else_notes_nothing(kept):
    edit(kept, key=replace(KEY, gpu="Orin").as_json())
    assert kept.notes(KEY) == {}


@pytest.mark.parametrize(("damage", "_"), [SIDECARS[name] for name in SIDECARS if name != "a folder"])
def test_a_plan_whose_sidecar_is_not_its_own_is_built_again(kept, damage, _):
    damage(kept)
    assert builds_to_obtain(kept) == 1


def load_or_miss(cache: PlanCache) -> None:
    """Load the good plan, or miss it, whatever its sidecar holds; and look at everything that is kept."""
    with suppress(PlanMissingError):
        plan = cache.load(KEY)
        assert plan.content == PLAN
        assert isinstance(plan.notes, dict)
    assert isinstance(cache.notes(KEY), dict)
    assert len(cache.entries()) == 1
    with pytest.raises(PlanMissingError):
        cache.load(replace(KEY, gpu="another"))


def test_no_flipped_bit_in_a_sidecar_does_any_harm(kept):
    path = kept.path(KEY, ".json")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(flipped(whole, place))
        load_or_miss(kept)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_may_be_in_a_sidecar(kept, content):
    kept.path(KEY, ".json").write_bytes(content)
    load_or_miss(kept)


@SETTINGS
@given(
    st.dictionaries(st.sampled_from(["format", "key", "sha256", "notes"]), JSON),
    st.dictionaries(st.sampled_from([*KEY.as_json(), "stranger"]), JSON),
)
def test_anything_may_be_in_a_sidecar_s_fields(kept, fields, key):
    kept.store(KEY, Plan(PLAN, {}))
    edit(kept, **{"key": KEY.as_json() | key, **fields})
    load_or_miss(kept)
