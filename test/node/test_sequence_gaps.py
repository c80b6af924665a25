"""SequenceGaps: the images between those that were taken, told by the publisher's numbers."""

from __future__ import annotations

import pytest

from trt_ssd_ros.node.sequence_gaps import SequenceGaps

pytestmark = pytest.mark.ros


def settled(*steps: int | str | None) -> list[dict[str, int]]:
    """What is counted at each settling: numbers are images, letters the publishers that are there then."""
    gaps, counted = SequenceGaps(), []
    for step in steps:
        if isinstance(step, str):
            counted.append(dict(gaps.collect(frozenset(step.strip()))))
        else:
            gaps.note(step, "dropped")
    return counted


@pytest.mark.parametrize(
    ("steps", "dropped"),
    [
        (["a"], [0]),
        ([1, "a"], [0]),
        ([7, "a"], [0]),
        ([1, 2, 3, "a"], [0]),
        ([1, 5, 6, 8, "a"], [4]),
        ([1, 5, "a", 6, 8, "a"], [3, 1]),
        ([1, 5, " "], [3]),
        ([1, 5, "a", 7, " "], [3, 1]),
        ([9, "a", " ", 1, 3, "a"], [0, 0, 1]),
        ([9, "a", 30, "b", 31, 33, "b"], [0, 0, 1]),
        ([9, "a", " ", "b", 31, 33, "b"], [0, 0, 0, 1]),
        ([4, 4, 5, "a"], [0]),
        ([1, "ab", 9, "ab", 20, "a", 22, "a", 24, 26, "a"], [0, 0, 0, 0, 2]),
        ([1, "a", 9, "ab", 20, "a"], [0, 0, 0]),
        ([None, None, "a"], [0]),
        ([None, 5, 7, None, 9, "a"], [1]),
    ],
    ids=[
        *("nothing", "the first", "joined late", "in order", "gaps", "settled twice", "the publisher has ended"),
        *("the publisher ends", "the publisher comes back", "another publisher", "another one after a pause"),
        *("the same again", "two publishers", "a second one for a while", "no numbers", "some numbers"),
    ],
)
def test_gaps_of_one_publisher_count(steps, dropped):
    assert settled(*steps) == [{"dropped": number} if number else {} for number in dropped]


def test_each_gap_has_its_reason():
    gaps = SequenceGaps()
    for number, reason in ((1, "dropped"), (3, "dropped"), (10, "rate_limited"), (12, "dropped"), (13, "dropped")):
        gaps.note(number, reason)
    assert gaps.collect(frozenset("a")) == {"dropped": 2, "rate_limited": 6}


def test_what_came_before_a_subscription_is_not_missed():
    gaps = SequenceGaps()
    gaps.note(1, "dropped")
    gaps.restart()
    gaps.note(100, "dropped")
    gaps.note(102, "dropped")
    assert gaps.collect(frozenset("a")) == {"dropped": 1}


def test_another_publisher_after_a_pause_counts_from_its_first_image():
    gaps = SequenceGaps()
    gaps.note(1, "dropped")
    assert gaps.collect(frozenset("a")) == {}
    gaps.restart()
    gaps.note(50, "dropped")
    gaps.note(53, "dropped")
    assert gaps.collect(frozenset("b")) == {"dropped": 2}


def test_an_image_whose_number_cannot_be_read_is_no_gap():
    gaps = SequenceGaps()
    gaps.skip()
    gaps.note(5, "dropped")
    gaps.skip()
    gaps.note(8, "dropped")
    assert gaps.collect(frozenset("a")) == {"dropped": 1}


@pytest.mark.parametrize(("number", "numbered"), [(1, True), (None, False)])
def test_says_whether_images_are_numbered(number, numbered):
    gaps = SequenceGaps()
    assert gaps.numbered is None
    gaps.note(number, "dropped")
    assert gaps.numbered is numbered
