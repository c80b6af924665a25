from __future__ import annotations

from pathlib import Path

import pytest

from trt_ssd_ros.engines import kernel_cache
from trt_ssd_ros.engines.kernel_cache import DIGEST_BYTES, KernelCache

KERNELS = bytes(range(256)) * 8
PLAN = b"a plan"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "ssd.kernels"


@pytest.fixture
def said(hear) -> pytest.LogCaptureFixture:
    return hear(kernel_cache)


@pytest.fixture
def writes(monkeypatch) -> list[Path]:
    """The paths that were written, in order."""
    written = []
    write_whole = kernel_cache.write_whole
    monkeypatch.setattr(kernel_cache, "write_whole", lambda *args: (written.append(args[0]), write_whole(*args)))
    return written


def test_kernels_of_another_plan_are_compiled_again(path, said):
    KernelCache(path, b"another plan").save(KERNELS)
    assert KernelCache(path, PLAN).load() == b""
    assert "of another plan" in said.text


def test_kernels_are_kept_for_the_next_start(path):
    KernelCache(path, PLAN).save(KERNELS)
    assert KernelCache(path, PLAN).load() == KERNELS
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_without_a_file_there_are_none_and_nothing_is_said(path, said):
    assert KernelCache(path, PLAN).load() == b""
    assert said.messages == []


def test_no_kernels_are_kept_as_none(path, said):
    KernelCache(path, PLAN).save(b"")
    assert KernelCache(path, PLAN).load() == b""
    assert said.messages == []


def test_the_same_kernels_are_written_once(path, writes):
    cache = KernelCache(path, PLAN)
    for _ in range(3):
        cache.save(KERNELS)
    assert writes == [path]
    again = KernelCache(path, PLAN)
    again.save(again.load())
    assert writes == [path]


def test_other_kernels_are_written(path, writes):
    KernelCache(path, PLAN).save(KERNELS)
    cache = KernelCache(path, PLAN)
    cache.load()
    cache.save(KERNELS + b"more")
    assert writes == [path, path]
    assert KernelCache(path, PLAN).load() == KERNELS + b"more"


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


WHOLE = len(KERNELS) + DIGEST_BYTES
DAMAGES = {
    "empty": lambda _: b"",
    "longer": lambda whole: whole + b"\0",
    **{f"cut to {i}/16": lambda whole, i=i: whole[: len(whole) * i // 16] for i in range(1, 16)},
    **{f"bit at {i}/50": lambda whole, i=i: flipped(whole, i * (WHOLE - 1) // 49) for i in range(50)},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_kernels_are_compiled_again_and_kept(path, damage, said):
    KernelCache(path, PLAN).save(KERNELS)
    path.write_bytes(damage(path.read_bytes()))
    cache = KernelCache(path, PLAN)
    assert cache.load() == b""
    assert said.messages == [f"the kept kernels are damaged, or of another plan: compiling them again ({path})"]
    cache.save(KERNELS)
    assert KernelCache(path, PLAN).load() == KERNELS


def test_a_folder_in_the_file_s_place_is_no_kernels(path):
    path.mkdir(parents=True)
    assert KernelCache(path, PLAN).load() == b""


def test_where_they_cannot_be_kept_one_warning_says_so(tmp_path, said):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "ssd.kernels"
    cache = KernelCache(path, PLAN)
    cache.save(KERNELS)
    cache.save(KERNELS)
    (message,) = said.messages
    assert f"compiled kernels are not kept ({path}: " in message
    assert "the next start compiles again" in message
