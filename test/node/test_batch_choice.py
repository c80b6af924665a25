"""BatchChoice: the camera served longest ago first, and all that fit into its batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from trt_ssd_ros.node.batch_choice import BatchChoice

pytestmark = pytest.mark.ros


@dataclass(eq=False)
class Camera:
    """An input that is its own receiver."""

    name: str
    batch_key: str = "thresholds"
    views: int = 1

    @property
    def receiver(self) -> Camera:
        """See CameraInput."""
        return self


def names(cameras: list[Camera]) -> str:
    """Their names."""
    return "".join(camera.name for camera in cameras)


def test_no_camera_is_chosen_if_none_is_ready():
    assert BatchChoice(lambda: 4)([]) == []


def test_all_that_are_ready_go_together_if_they_fit():
    choice = BatchChoice(lambda: 3)
    a, b, c = (Camera(name) for name in "abc")
    assert names(choice([a, b, c])) == "abc"
    assert names(choice([b])) == "b"
    assert names(choice([a, b, c])) == "acb"


def test_the_camera_served_longest_ago_goes_first_if_more_are_ready_than_fit():
    room = 2
    choice = BatchChoice(lambda: room)
    cameras = [Camera(name) for name in "abcde"]
    assert [names(choice(cameras)) for _ in range(5)] == ["ab", "cd", "ea", "bc", "da"]
    room = 1
    assert [names(choice(cameras)) for _ in range(5)] == ["e", "b", "c", "a", "d"]


def test_each_view_of_an_image_takes_a_place_of_the_batch():
    choice = BatchChoice(lambda: 8)
    cameras = [Camera("a", views=7), Camera("b"), Camera("c", views=9), Camera("d")]
    assert [names(choice(cameras)) for _ in range(4)] == ["ab", "c", "da", "b"]


def test_a_camera_that_is_always_ready_delays_no_other_by_more_than_a_turn():
    choice = BatchChoice(lambda: 1)
    bursty, calm = Camera("b"), Camera("c")
    for _ in range(9):
        assert names(choice([bursty])) == "b"
    assert names(choice([bursty, calm])) == "c"


def test_cameras_with_other_thresholds_take_turns():
    choice = BatchChoice(lambda: 4)
    cameras = [Camera("a"), Camera("b", "other"), Camera("c"), Camera("d", "other"), Camera("e", "third")]
    chosen = [names(choice(cameras)) for _ in range(6)]
    assert chosen == ["ac", "bd", "e", "ac", "bd", "e"]
    cameras[0].batch_key = "other"
    served = Counter("".join(names(choice(cameras)) for _ in range(60)))
    assert max(served.values()) - min(served.values()) <= 1
