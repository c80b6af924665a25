"""A registered depth image is what the colour camera would measure: compared with one rendered from there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.bench.depth.rendering import Cuboid, Plane, render, turned
from trt_ssd_ros.depth.camera_model import CameraModelError, PinholeCamera, map_boxes
from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.depth.placement import Placement, PlacementSettings, place_objects
from trt_ssd_ros.depth.registration import register

DEPTH = PinholeCamera(212, 160, 200.0, 200.0, 105.5, 79.5)
COLOUR = PinholeCamera(424, 320, 350.0, 350.0, 211.5, 159.5)


def transform(rotation: np.ndarray, shift: tuple[float, float, float]) -> np.ndarray:
    """A (4, 4) transform."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, shift
    return matrix


@given(depths=st.lists(st.one_of(st.floats(0.2, 9), st.just(np.nan)), min_size=12, max_size=12))
@settings(max_examples=30)
def test_the_same_camera_registers_an_image_to_itself(depths):
    camera = PinholeCamera(4, 3, 5.0, 5.0, 1.5, 1.0)
    image = np.reshape(depths, (3, 4)).astype(np.float32)
    registered = register(DepthImage(image), camera, camera, np.eye(4))
    assert registered.camera == camera
    np.testing.assert_allclose(registered.depth.metres(), image, rtol=1e-6)


@pytest.mark.parametrize("lens", [("", ()), ("plumb_bob", (-0.1, 0.02, 0.0, 0.0, 0.0))])
def test_the_colour_camera_sees_the_scene_from_its_own_place(lens):
    turn, shift = turned(0.05, 0.02), np.array([0.1, -0.02, 0.01])
    wall, box = (np.array([0, 0, 1.0]), 3.0), (np.array([0.1, 0.0, 1.6]), np.array([0.5, 0.6, 0.3]))
    depth_camera = PinholeCamera(212, 160, 200.0, 200.0, 105.5, 79.5, *lens)
    seen = render([Plane(*wall), Cuboid(*box, turned(0.5))], depth_camera)
    moved = Plane(turn @ wall[0], wall[1] + float((turn @ wall[0]) @ shift))
    there = [moved, Cuboid(turn @ box[0] + shift, box[1], turn @ turned(0.5))]
    registered = register(DepthImage(seen.astype(np.float32)), depth_camera, COLOUR, transform(turn, tuple(shift)))
    found, expected = registered.depth.metres(), render(there, registered.camera)
    known = np.isfinite(found)
    assert known.mean() > 0.6
    off = np.abs(found - expected)[known]
    assert np.median(off) < 0.005
    assert (off > 0.05).mean() < 0.04  # only at the edges, which the depth camera sees from elsewhere


def test_the_nearest_point_of_a_pixel_wins():
    image = np.array([[1.0, 3.0]], np.float32)
    camera = PinholeCamera(2, 1, 1000.0, 1000.0, 0.5, 0.0)
    both = register(DepthImage(image), camera, PinholeCamera(1, 1, 1.0, 1.0, 0.0, 0.0), np.eye(4))
    assert both.depth.metres().tolist() == [[1.0]]


def test_objects_have_one_place_by_either_way():
    shift = np.array([0.06, 0.0, 0.0])
    solid = Cuboid(np.array([0.1, 0.05, 2.0]), np.array([0.4, 0.5, 0.3]), np.eye(3))
    wall = Plane(np.array([0, 0, 1.0]), 4.0)
    measured = DepthImage(render([wall, solid], DEPTH).astype(np.float32))
    registered = register(measured, DEPTH, COLOUR, transform(np.eye(3), tuple(shift)))
    middle = np.array([0.1, 0.05, 1.85]) + shift
    half = np.array([0.2, 0.25, 0.0])
    corners = COLOUR.project(np.stack([middle - half, middle + half])) + 0.5
    boxes = map_boxes([corners.ravel()], COLOUR, registered.camera)
    (found,) = place_objects(registered.depth, boxes, registered.camera, PlacementSettings())
    assert isinstance(found, Placement)
    np.testing.assert_allclose(found.centre, middle, atol=0.02)


def test_points_behind_the_colour_camera_are_left_out():
    image = DepthImage(np.full((160, 212), 2.0, np.float32))
    registered = register(image, DEPTH, COLOUR, transform(np.eye(3), (0, 0, -5)))
    assert np.isnan(registered.depth.metres()).all()


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((4, 4), np.nan)])
def test_a_transform_that_is_none_is_refused(matrix):
    with pytest.raises(
        ValueError, match=r"transform has the shape \(\d, \d\), expected \(4, 4\) and finite numbers"
    ):
        register(DepthImage(np.ones((160, 212), np.float32)), DEPTH, COLOUR, matrix)


def test_a_depth_image_of_another_size_is_refused():
    with pytest.raises(CameraModelError, match="212x160"):
        register(DepthImage(np.ones((10, 10), np.float32)), DEPTH, COLOUR, np.eye(4))
