"""LockedPages: memory maps of the caller are locked when they first come, and only a few at once."""

from __future__ import annotations

import ctypes
from mmap import mmap
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trt_ssd_ros.engines import locked_pages
from trt_ssd_ros.engines.locked_pages import MAX_MAPS, LockedPages
from trt_ssd_ros.ros.message_memory import MessageMemory

PAGE = 4096


class Driver:
    """Stands for CUDA's driver library: keeps the addresses that are locked."""

    def __init__(self) -> None:
        self.locked: list[int] = []
        self.status = 0

    def cuMemHostRegister_v2(self, address: ctypes.c_void_p, size: ctypes.c_size_t, _: int) -> int:  # noqa: N802
        """See CUDA."""
        assert size.value >= PAGE
        if not self.status:
            self.locked.append(address.value)
        return self.status

    def cuMemHostUnregister(self, address: ctypes.c_void_p) -> int:  # noqa: N802
        """See CUDA."""
        self.locked.remove(address.value)
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """One in place of the library."""
    driver = Driver()
    monkeypatch.setattr(locked_pages.ctypes, "CDLL", lambda _: driver)
    return driver


def new_pages(integrated: bool = False) -> LockedPages:
    """Those of a GPU with memory of its own, or with the CPU's."""
    return LockedPages(SimpleNamespace(gpu=SimpleNamespace(integrated=integrated)))


def mapped(size: int = PAGE) -> np.ndarray[Any, Any]:
    """An array in a memory map of its own."""
    return np.frombuffer(mmap(-1, size), np.uint8)


def test_views_of_a_map_are_held_and_lock_it_once(driver):
    pages, memory = new_pages(), mapped()
    message = memoryview(memory[:])[52:]
    image = np.ndarray((10, 20, 3), np.uint8, message)
    assert pages.hold(image)
    assert pages.hold(image[None])
    assert pages.hold(image[5:])
    assert driver.locked == [memory.ctypes.data]
    pages.close()
    assert driver.locked == []
    pages.close()


@pytest.mark.parametrize(
    "image",
    [np.zeros(10, np.uint8), np.frombuffer(b"1234", np.uint8), mapped()[::2], mapped().reshape(64, 64)[:, :32]],
    ids=["array", "bytes", "stepped", "part of rows"],
)
def test_other_memory_and_gaps_are_not_held(driver, image):
    assert not new_pages().hold(image)
    assert driver.locked == []


def test_nothing_is_locked_on_a_gpu_that_shares_the_memory(driver):
    assert not new_pages(integrated=True).hold(mapped())
    assert driver.locked == []


def test_the_map_that_was_used_longest_ago_is_unlocked(driver):
    pages, maps = new_pages(), [mapped() for _ in range(MAX_MAPS + 1)]
    for memory in (*maps[:MAX_MAPS], maps[0], maps[-1]):
        assert pages.hold(memory)
    assert sorted(driver.locked) == sorted(memory.ctypes.data for memory in (maps[0], *maps[2:]))


def test_a_map_lives_while_it_is_locked_and_is_unlocked_when_others_come_in_its_place(driver):
    pages, kept = new_pages(), mapped()
    pages.hold(kept)
    for _ in range(3):
        memory = mapped()
        pages.hold(memory[None])
        address = memory.ctypes.data
        assert sorted(driver.locked) == sorted((kept.ctypes.data, address))
        image = memory.reshape(64, 64)[1:]
        del memory
        pages.hold(other := mapped())
        assert address in driver.locked, "an image is in it"
        del image, other
        others = [mapped() for _ in range(3)]
        assert address in driver.locked
        assert address not in [other.ctypes.data for other in others], "it is not mapped again while it is locked"
        del others


@pytest.mark.parametrize("size", [PAGE, 3 * PAGE])
def test_a_camera_that_is_opened_again_and_again_locks_no_more(driver, size):
    pages, counts = new_pages(), []
    for _ in range(MAX_MAPS):
        memory, taken = MessageMemory(), []
        for _ in range(10):
            taken = [*taken[-1:], memory.borrow(size)]
            assert pages.hold(taken[-1])
        counts.append(len(driver.locked))
    assert max(counts[1:]) <= 2 * counts[0]


def test_a_refusal_of_the_driver_is_logged_and_kept(driver, hear):
    said = hear(locked_pages)
    driver.status = 801
    pages, memory = new_pages(), mapped()
    assert not pages.hold(memory)
    assert not pages.hold(memory)
    [line] = said.messages
    assert "the driver cannot lock theirs (CUDA error 801)" in line
    pages.close()
