"""Walls and floors that are seen beside a box are removed from it; the object in front of them is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trt_ssd_ros.depth.box_samples import BoxSamples
from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.depth.surroundings import SIDE_CELLS, Surroundings

BOX = (60.0, 60.0, 180.0, 180.0)
UNTOUCHED = [[0.0] * 4]
STEPS = np.linspace(0, 1, 240, dtype=np.float32)
OBJECT = slice(90, 150)
INNER = slice(10, 20)
"""Cells of the grid that show OBJECT."""


def surroundings(background: NDArray[np.float32], near: float = 2.0) -> Surroundings:
    """What is around an object in the centre of BOX, before a background in metres."""
    depths = np.broadcast_to(background, (240, 240)).copy()
    depths[OBJECT, OBJECT] = near
    return Surroundings(BoxSamples.take(DepthImage(depths), [BOX]).lines)


@pytest.mark.parametrize(
    "background",
    [np.full((240, 240), 3.0, np.float32), 1 / (0.3 + 0.02 * STEPS), 1 / (0.3 + 0.02 * STEPS[:, None])],
    ids=["flat", "slanted to the side", "slanted upwards"],
)
def test_a_plane_behind_the_object_is_on_the_line_between_its_borders(background):
    found = surroundings(background).slanted_planes()[0]
    assert not found[INNER, INNER].any()
    assert found[:6].all()
    assert found[:, :6].all()


def test_a_floor_is_removed_row_by_row_and_the_object_at_one_of_its_depths_stays():
    floor = np.broadcast_to(1 / (0.2 + 0.8 * STEPS[:, None]), (240, 240))
    continued = surroundings(floor, near=1.6).continued(UNTOUCHED)[0]
    assert continued[:8].all()
    removed = continued[INNER, INNER].all(axis=1)
    assert removed.sum() <= 2  # the rows where the floor beside it is as far away as the object
    assert not continued[INNER, INNER][~removed].any()


def test_a_side_that_the_object_touches_removes_nothing():
    around = surroundings(np.full((240, 240), 2.0, np.float32))
    assert around.continued(UNTOUCHED).all()
    assert not around.continued([[SIDE_CELLS.shape[1]] * 4]).any()


def test_an_object_at_the_depth_of_the_wall_around_it_stays_if_a_gap_is_between_them():
    wall = np.full((240, 240), 2.0, np.float32)
    wall[75:165, 75:165] = 4.0
    continued = surroundings(wall, near=2.0).continued(UNTOUCHED)[0]
    assert continued[:6].all()
    assert not continued[INNER, INNER].any()
