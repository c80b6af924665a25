"""Pictures and boxes come together by their stamps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from trt_ssd_ros.web.matching import MOST_STAMPS, Detected, FrameMatcher, Picture, Placed, box_key
from trt_ssd_ros.web.protocol import Box

BOX = Box(0.0, 0.0, 1.0, 1.0, "cat", 0.5)


def picture(stamp: int) -> Picture:
    """A picture with a stamp."""
    return Picture(stamp, b"", (2, 2))


def boxes(*labels: str) -> Detected:
    """Detections of some labels."""
    return Detected("camera", [Box(0.0, 0.0, 1.0, 1.0, label, 0.5) for label in labels])


def places(frame_id: str = "camera") -> Placed:
    """The place of BOX, 3 m away."""
    return Placed(frame_id, {box_key(BOX.label, BOX.score, BOX.id): 3.0})


@pytest.fixture
def delivered() -> list[tuple[int, Sequence[Box] | None]]:
    """Stamps and boxes of what was delivered."""
    return []


@pytest.fixture
def matcher(delivered: list[Any]) -> FrameMatcher:
    """A matcher that delivers there."""
    return FrameMatcher(lambda shown, found: delivered.append((shown.stamp, found)))


def test_delivers_nothing_of_nothing(matcher, delivered):
    matcher.add_boxes(1, boxes())
    assert delivered == []


@pytest.mark.parametrize("picture_first", [True, False])
def test_delivers_a_picture_with_the_boxes_of_its_stamp(matcher, delivered, picture_first):
    steps = [lambda: matcher.add_picture(picture(2)), lambda: matcher.add_boxes(2, boxes("cat"))]
    matcher.add_boxes(1, boxes("dog"))
    for step in steps if picture_first else steps[::-1]:
        step()
    assert delivered == [(2, [BOX])]


def test_a_picture_whose_boxes_do_not_come_is_dropped(matcher, delivered):
    for stamp in (1, 2, 3):
        matcher.add_picture(picture(stamp))
    matcher.add_boxes(2, boxes())
    assert ([stamp for stamp, _ in delivered], matcher.unmatched) == ([2], 1)
    matcher.add_boxes(1, boxes())
    matcher.add_boxes(3, boxes())
    assert ([stamp for stamp, _ in delivered], matcher.unmatched) == ([2, 3], 1)


def test_the_pictures_that_wait_are_bounded(matcher, delivered):
    for stamp in range(1, MOST_STAMPS + 3):
        matcher.add_picture(picture(stamp))
    assert matcher.unmatched == 2
    matcher.add_picture(picture(MOST_STAMPS))
    assert matcher.unmatched == 3, "of two pictures with one stamp, the later one waits"
    matcher.add_boxes(3, boxes())
    assert delivered == [(3, [])]


def test_without_a_stamp_the_boxes_are_unknown(matcher, delivered):
    matcher.add_boxes(0, boxes("cat"))
    matcher.add_picture(picture(0))
    assert delivered == [(0, None)]


def test_distances_are_waited_for_until_the_next_picture(matcher, delivered):
    matcher.expects_distances = True
    matcher.add_boxes(1, boxes("cat"))
    matcher.add_picture(picture(1))
    assert delivered == []
    matcher.add_distances(1, places())
    assert [box.distance for box in delivered[0][1]] == [3.0]
    matcher.add_boxes(2, boxes("cat"))
    matcher.add_picture(picture(2))
    matcher.add_boxes(3, boxes("cat"))
    matcher.add_picture(picture(3))
    assert delivered[1:] == [(2, [BOX])]


def test_places_in_another_frame_are_no_distances_from_the_camera(matcher, delivered):
    matcher.add_distances(1, places("map"))
    matcher.add_boxes(1, boxes("cat"))
    matcher.add_picture(picture(1))
    assert delivered == [(1, [BOX])]


@given(some.lists(some.tuples(some.sampled_from("bpd"), some.integers(0, 6)), max_size=60), some.booleans())
def test_never_delivers_boxes_of_another_stamp(steps, expects):
    found: list[tuple[Picture, Any]] = []
    matcher = FrameMatcher(lambda shown, its: found.append((shown, its)))
    matcher.expects_distances = expects
    for kind, stamp in steps:
        if kind == "b":
            matcher.add_boxes(stamp, boxes(str(stamp)))
        elif kind == "d":
            matcher.add_distances(stamp, places())
        else:
            matcher.add_picture(picture(stamp))
    for shown, its in found:
        assert its is None if shown.stamp == 0 else [box.label for box in its] == [str(shown.stamp)]


def test_keeps_the_boxes_of_the_newest_stamps_only(matcher, delivered):
    for stamp in range(1, MOST_STAMPS + 2):
        matcher.add_boxes(stamp, boxes())
    matcher.add_picture(picture(1))
    assert delivered == []
    matcher.add_picture(picture(2))
    assert delivered == [(2, [])]
