"""Which depth image belongs to which detections: by stamps, within half a period."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_ssd_ros.depth.matching import MOST_PER_SECOND, TOLERANCE, Match, StampBuffer

MS = 1_000_000


def buffer(*stamps: int, span: int = 10_000) -> StampBuffer[int]:
    """A buffer of messages that are their stamps in milliseconds."""
    filled: StampBuffer[int] = StampBuffer(span * MS)
    for stamp in stamps:
        filled.add(stamp * MS, stamp)
    return filled


@pytest.mark.parametrize(
    ("stamps", "asked", "expected"),
    [
        ((), 100, Match(None, None, False)),
        ((100,), 100, Match(100, 0, True)),
        ((100,), 110, Match(None, -10 * MS, False)),
        ((100,), 90, Match(None, 10 * MS, False)),
        ((100, 133, 166), 140, Match(133, -7 * MS, True)),
        ((100, 133, 166), 150, Match(166, 16 * MS, True)),
        ((100, 133, 166), 180, Match(166, -14 * MS, True)),
        ((100, 133, 166), 190, Match(None, -24 * MS, False)),
        ((100, 133, 166), 60, Match(None, 40 * MS, True)),
        ((100, 133, 166, 300, 333), 230, Match(None, -64 * MS, True)),
    ],
    ids=[
        "nothing yet",
        "equal stamps",
        "the period is unknown",
        "the period is unknown, and later",
        "before",
        "after",
        "newest, and the next is farther",
        "the next may be nearer",
        "older than all",
        "a gap",
    ],
)
def test_the_nearest_within_half_a_period_matches(stamps, asked, expected):
    assert buffer(*stamps).match(asked * MS) == expected


def test_half_the_rate_still_matches_every_image():
    depth = buffer(*range(0, 1000, 66))
    assert all(depth.match(stamp * MS).item is not None for stamp in range(0, 990, 33))


def test_a_stopped_camera_matches_no_more():
    depth = buffer(*range(0, 1000, 33))
    assert depth.match(1040 * MS) == Match(None, -50 * MS, False)


def test_old_messages_leave():
    depth = buffer(*range(0, 5000, 100), span=1000)
    assert len(depth) == 11
    assert depth.match(3000 * MS).item is None


def test_of_equal_stamps_the_newest_message_is_kept():
    still: StampBuffer[int] = StampBuffer(1000 * MS)
    for number in range(1000):
        assert not still.add(0, number)
    assert (len(still), still.period) == (1, None)
    assert still.match(0) == Match(999, 0, True)


def test_stamps_that_hardly_move_do_not_fill_the_memory():
    slow: StampBuffer[int] = StampBuffer(1000 * MS)
    for number in range(1000):
        slow.add(number, number)
    assert len(slow) == MOST_PER_SECOND
    assert slow.match(999).item == 999


def test_a_clock_that_jumps_back_starts_again():
    depth = buffer(1000, 1033, 1066)
    assert depth.add(5 * MS, 5)
    assert (len(depth), depth.period) == (1, None)
    assert depth.match(1066 * MS).item is None


@given(st.lists(st.integers(0, 1000), min_size=2, unique=True).map(sorted), st.integers(0, 1000))
def test_no_other_message_is_nearer(stamps, asked):
    depth = buffer(*stamps)
    match = depth.match(asked * MS)
    nearest = min(abs(stamp - asked) for stamp in stamps)
    assert abs(match.offset or 0) == nearest * MS
    assert (match.item is not None) == (nearest * MS <= max(MS, TOLERANCE * (depth.period or 0)))
