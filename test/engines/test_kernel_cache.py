from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from trt_ssd_ros.engines import kernel_cache
from trt_ssd_ros.engines.kernel_cache import DIGEST_BYTES, KernelCache, _as_text

KERNELS = bytes(range(256)) * 8
PLAN = b"a plan"
SMALL, LARGE = {"image": (1, 48, 64, 3), "scores": (2,)}, {"image": (1, 720, 1280, 3), "scores": (2,)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "ssd.kernels"


@pytest.fixture
def said(hear: Callable[..., pytest.LogCaptureFixture]) -> pytest.LogCaptureFixture:
    return hear(kernel_cache)


def test_kernels_of_another_plan_are_compiled_again(path, said):
    KernelCache(path, b"another plan").save(KERNELS, SMALL)
    assert KernelCache(path, PLAN).load() == b""
    assert "of another plan" in said.text


def test_kernels_are_kept_for_the_next_start(path):
    KernelCache(path, PLAN).save(KERNELS, SMALL)
    assert KernelCache(path, PLAN).load() == KERNELS
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_without_a_file_there_are_none_and_nothing_is_said(path, said):
    assert KernelCache(path, PLAN).load() == b""
    assert said.messages == []


def test_no_kernels_are_kept_as_none(path, said):
    KernelCache(path, PLAN).save(b"", SMALL)
    assert KernelCache(path, PLAN).load() == b""
    assert said.messages == []


def test_it_holds_the_shapes_that_it_was_given(path):
    cache = KernelCache(path, PLAN)
    assert not cache.holds(SMALL)
    cache.save(KERNELS, SMALL)
    assert cache.holds(SMALL)
    assert not cache.holds(LARGE)
    again = KernelCache(path, PLAN)
    assert not again.holds(SMALL), "nothing was loaded yet"
    assert again.load() == KERNELS
    assert again.holds(dict(reversed(SMALL.items())))
    again.save(KERNELS + b"more", LARGE)
    last = KernelCache(path, PLAN)
    assert last.load() == KERNELS + b"more"
    assert last.holds(SMALL)
    assert last.holds(LARGE)


def test_forgotten_kernels_are_kept_anew(path):
    KernelCache(path, PLAN).save(KERNELS, SMALL)
    cache = KernelCache(path, PLAN)
    cache.load()
    cache.clear()
    assert not cache.holds(SMALL)
    cache.save(b"for this GPU", LARGE)
    again = KernelCache(path, PLAN)
    assert again.load() == b"for this GPU"
    assert (again.holds(SMALL), again.holds(LARGE)) == (False, True)


def test_a_file_of_before_there_were_shapes_in_it_is_no_kernels(path, said):
    path.parent.mkdir()
    path.write_bytes(sha256(sha256(PLAN).digest() + KERNELS).digest() + KERNELS)
    assert KernelCache(path, PLAN).load() == b""
    assert "recompiling them" in said.text


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


WHOLE = len(KERNELS) + DIGEST_BYTES + len(json.dumps([_as_text(SMALL)])) + 1
DAMAGES = {
    "empty": lambda _: b"",
    "longer": lambda whole: whole + b"\0",
    **{f"cut to {i}/16": lambda whole, i=i: whole[: len(whole) * i // 16] for i in range(1, 16)},
    **{f"bit at {i}/50": lambda whole, i=i: flipped(whole, i * (WHOLE - 1) // 49) for i in range(50)},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_kernels_are_compiled_again_and_kept(path, damage, said):
    KernelCache(path, PLAN).save(KERNELS, SMALL)
    path.write_bytes(damage(path.read_bytes()))
    cache = KernelCache(path, PLAN)
    assert cache.load() == b""
    assert not cache.holds(SMALL)
    assert said.messages == [f"the cached kernels are damaged or of another plan: recompiling them ({path})"]
    cache.save(KERNELS, SMALL)
    assert KernelCache(path, PLAN).load() == KERNELS


def test_a_folder_in_the_file_s_place_is_no_kernels(path):
    path.mkdir(parents=True)
    assert KernelCache(path, PLAN).load() == b""


def test_where_they_cannot_be_kept_one_warning_says_so(tmp_path, said):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "ssd.kernels"
    cache = KernelCache(path, PLAN)
    cache.save(KERNELS, SMALL)
    assert cache.holds(SMALL), "so that it is not tried with every image"
    (message,) = said.messages
    assert f"cannot store compiled kernels ({path}: " in message
    assert "the next start recompiles them" in message
