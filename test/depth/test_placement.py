"""Each box gets a place or a reason; the place follows the object, not the box's background."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trt_ssd_ros.depth.camera_model import CameraModelError, PinholeCamera
from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.depth.placement import PlacementSettings, Reason, place_objects

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
SETTINGS = PlacementSettings()
BOX = [100, 60, 180, 200]


def scene(wall: float = 4.0, near: float = 2.0) -> NDArray[np.float32]:
    """A flat wall, and a flat object that fills BOX, in metres."""
    depths = np.full((240, 320), wall, np.float32)
    depths[60:200, 100:180] = near
    return depths


def place(depths: NDArray[np.float32], *boxes: object, settings: PlacementSettings = SETTINGS) -> list:
    """Places of boxes in a depth image in metres."""
    return place_objects(DepthImage(depths), np.reshape(boxes, (-1, 4)), CAMERA, settings)


@pytest.mark.parametrize(
    ("depths", "boxes", "expected"),
    [
        (scene(), [], []),
        (scene(wall=np.nan, near=np.nan), [BOX], [Reason.NO_DEPTH]),
        (scene(near=np.nan, wall=2.0), [BOX], [Reason.NO_DEPTH]),
        (scene(near=0.05), [BOX], [Reason.OUT_OF_RANGE]),
        (scene(wall=20.0, near=12.0), [BOX], [Reason.OUT_OF_RANGE]),
        (scene(), [[400, 60, 500, 200]], [Reason.OUTSIDE]),
        (scene(), [[-50, -50, -10, -10]], [Reason.OUTSIDE]),
        (scene(), [[-50, 60, 1e-200, 200]], [Reason.OUTSIDE]),
        (scene(), [[100, 60, 180, 60]], [Reason.OUTSIDE]),
        (scene(), [[180, 200, 100, 60]], [Reason.OUTSIDE]),
        (scene(), [[np.nan] * 4], [Reason.OUTSIDE]),
        *(
            (scene(), [[np.nan if side == lost else bound for side, bound in enumerate(BOX)]], [Reason.OUTSIDE])
            for lost in range(4)
        ),
    ],
)
def test_a_box_without_a_place_has_a_reason(depths, boxes, expected):
    assert place(depths, *boxes) == expected


def test_the_object_is_at_its_own_depth_in_the_middle_of_its_outline():
    (found,) = place(scene(), BOX)
    middle = CAMERA.rays([139.5, 129.5])
    np.testing.assert_allclose(found.centre, [*middle * 2, 2], atol=0.02)
    np.testing.assert_allclose(found.size, [80 * 2 / 260, 140 * 2 / 260, 0], atol=0.05)


@pytest.mark.parametrize("pixel", [[150, 100, 151, 101], [150.2, 100.2, 150.4, 100.4]])
def test_a_box_of_one_pixel_has_the_place_of_the_pixel(pixel):
    (found,) = place(scene(), pixel)
    np.testing.assert_allclose(found.centre[2], 2, rtol=1e-3)


@pytest.mark.parametrize("box", [[0, 0, 320, 240], [-100, -100, 500, 500]])
def test_a_box_of_the_whole_image_has_a_place(box):
    (found,) = place(np.full((240, 320), 3.0, np.float32), box)
    np.testing.assert_allclose(found.centre, [0, 0, 3], atol=0.02)


def test_an_object_between_others_at_its_depth_is_found():
    depths = np.full((240, 320), 5.0, np.float32)
    depths[60:200] = 2.0
    (found,) = place(depths, BOX)
    np.testing.assert_allclose(found.centre, [*CAMERA.rays([139.5, 129.5]) * 2, 2], atol=0.01)
    np.testing.assert_allclose(found.size, [80 * 2 / 260, 140 * 2 / 260, 0], atol=0.06)


def test_a_loose_box_is_narrowed_to_the_object():
    (found,) = place(scene(), [60, 40, 200, 220])
    np.testing.assert_allclose(found.centre[:2], CAMERA.rays([139.5, 129.5]) * 2, atol=0.05)
    np.testing.assert_allclose(found.size[:2], [80 * 2 / 260, 140 * 2 / 260], rtol=0.1)


def test_an_object_with_few_measurements_has_a_place():
    depths = scene()
    depths[np.random.default_rng(0).random(depths.shape) > 0.03] = np.nan
    (found,) = place(depths, BOX)
    np.testing.assert_allclose(found.centre, [*CAMERA.rays([139.5, 129.5]) * 2, 2], atol=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_places_from_a_handful_of_measurements_are_finite_and_in_range(seed):
    random = np.random.default_rng(seed)
    camera, strange = PinholeCamera(64, 48, 50.0, 50.0, 31.5, 23.5), [0.0, -1.0, 1e-40, 3e38, np.inf, 0.1, 10.0]
    kinds: set[object] = set()
    for _ in range(100):
        depths = np.full(48 * 64, np.nan, np.float32)
        count = int(random.choice([3, 30, 300, 3000]))
        at = random.choice(depths.size, count, replace=False)
        depths[at] = np.where(random.random(count) < 0.5, random.uniform(0.05, 12, count), random.choice(strange))
        corner, size = random.uniform(-10, [64, 48], (5, 2)), random.choice([0.01, 0.3, 5.0, 40.0, 1e6], (5, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        for found in place_objects(DepthImage(depths.reshape(48, 64)), boxes, camera, SETTINGS):
            kinds.add(found if isinstance(found, Reason) else None)
            if not isinstance(found, Reason):
                assert SETTINGS.min_range * 0.999 < found.centre[2] < SETTINGS.max_range * 1.001
                assert (np.isfinite(found.centre) & (found.size >= 0)).all()
                assert np.linalg.eigvalsh(found.covariance).min() > 0
    assert kinds == {None, Reason.NO_DEPTH, Reason.OUT_OF_RANGE, Reason.OUTSIDE}


def test_what_a_pole_in_front_hides_belongs_to_the_object():
    depths = scene()
    depths[:, 100:125] = 1.2
    (found,) = place(depths, BOX)
    np.testing.assert_allclose(found.centre, [*CAMERA.rays([139.5, 129.5]) * 2, 2], atol=0.04)
    assert found.points[:, 2].min() > 1.9


def test_points_are_samples_of_the_object_and_no_more_than_asked_for():
    depths = scene()
    for most in (1, 50, 200):
        (found,) = place(depths, BOX, settings=PlacementSettings(max_points=most))
        assert 0 < len(found.points) <= most
        assert found.points.dtype == np.float32
        np.testing.assert_allclose(found.points[:, 2], 2)
        u, v = CAMERA.project(found.points).T
        assert ((u > 99) & (u < 180) & (v > 59) & (v < 200)).all()


def test_covariances_are_symmetric_and_positive():
    for found in place(scene(), BOX, [60, 40, 200, 220], [150, 100, 151, 101]):
        np.testing.assert_allclose(found.covariance, found.covariance.T)
        assert np.linalg.eigvalsh(found.covariance).min() > 0


@given(order=st.permutations(range(4)))
@settings(max_examples=10)
def test_the_place_of_a_box_does_not_depend_on_the_other_boxes(order):
    boxes = np.array([BOX, [60, 40, 200, 220], [400, 0, 500, 10], [10, 10, 60, 60]])
    alone = [place(scene(), box)[0] for box in boxes]
    for index, found in zip(order, place(scene(), *boxes[list(order)]), strict=True):
        if isinstance(found, Reason):
            assert found is alone[index]
        else:
            np.testing.assert_allclose(found.centre, alone[index].centre)
            np.testing.assert_allclose(found.covariance, alone[index].covariance)
            np.testing.assert_allclose(found.points, alone[index].points)


@given(scale=st.floats(0.3, 2.0))
@settings(max_examples=20)
def test_a_scene_of_another_scale_has_places_of_that_scale(scale):
    (one,), (other,) = place(scene(), BOX), place(scene(4 * scale, 2 * scale), BOX)
    np.testing.assert_allclose(other.centre, one.centre * scale, rtol=1e-4)
    np.testing.assert_allclose(other.size, one.size * scale, rtol=1e-4, atol=1e-6)


def test_a_distorted_camera_gives_places_on_its_rays():
    lens = PinholeCamera(320, 240, 260, 260, 159.5, 119.5, "plumb_bob", (-0.3, 0.1, 0, 0, 0))
    box = [40, 40, 80, 80]
    (found,) = place_objects(DepthImage(np.full((240, 320), 2.0, np.float32)), [box], lens, SETTINGS)
    np.testing.assert_allclose(found.centre, [*lens.rays([59.5, 59.5]) * 2, 2], atol=0.01)


def test_a_box_that_a_fisheye_camera_sees_behind_itself_has_no_place():
    lens = PinholeCamera(320, 240, 80, 80, 159.5, 119.5, "equidistant", (0.0, 0.0, 0.0, 0.0))
    depth = DepthImage(np.full((240, 320), 2.0, np.float32))
    ahead, behind = place_objects(depth, [[140, 100, 180, 140], [300, 100, 320, 140]], lens, SETTINGS)
    assert (ahead.centre[2], behind) == (2.0, Reason.OUT_OF_RANGE)
    (at_the_side,) = place_objects(
        depth, [[190, 20, 270, 110]], lens, SETTINGS
    )  # a part of it is beyond 90 degrees
    assert np.isfinite(at_the_side.points).all()
    assert 0 < len(at_the_side.points) < len(ahead.points)


def test_a_depth_image_of_another_size_than_its_camera_is_refused():
    with pytest.raises(CameraModelError, match="160x120 pixels, but its camera_info is for 320x240"):
        place(np.ones((120, 160), np.float32), BOX)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"min_range": 0.0}, "min_range: found 0.0"),
        (
            {"min_range": 2.0, "max_range": 1.0},
            "max_range: found 1.0, expected more than min_range, which is 2.0 m",
        ),
        ({"max_points": 0}, "max_points: found 0"),
    ],
)
def test_settings_out_of_range_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        PlacementSettings(**changed)
