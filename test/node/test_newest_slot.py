"""NewestSlot: newest wins, nothing queues, every overwrite is counted."""

from __future__ import annotations

from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.node.inference_executor import NewestSlot

pytestmark = pytest.mark.ros


def test_an_empty_slot_gives_nothing() -> None:
    assert NewestSlot[int]().take() is None


@settings(deadline=None)
@given(st.lists(st.booleans()))
def test_behaves_like_a_list_of_which_only_the_last_counts(puts: list[bool]) -> None:
    slot: NewestSlot[int] = NewestSlot()
    held: list[int] = []
    overwritten = 0
    for number, put in enumerate(puts):
        if put:
            assert slot.put(number) is (not held)
            overwritten += len(held)
            held = [number]
        else:
            assert slot.take() == (held.pop() if held else None)
        assert slot.overwritten == overwritten


def test_two_threads_lose_nothing_uncounted() -> None:
    slot: NewestSlot[int] = NewestSlot()
    taken: list[int] = []
    filled: list[int] = []

    def put_many() -> None:
        filled.extend(number for number in range(20_000) if slot.put(number))

    thread = Thread(target=put_many)
    thread.start()
    while thread.is_alive():
        item = slot.take()
        if item is not None:
            taken.append(item)
    thread.join()
    left = slot.take()
    taken += [] if left is None else [left]
    assert taken == sorted(set(taken))
    assert taken[-1] == 19_999
    assert len(taken) == len(filled), "put tells of every item that must be taken, once"
    assert len(taken) + slot.overwritten == 20_000
