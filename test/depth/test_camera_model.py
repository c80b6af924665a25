"""Rays and pixels are inverse to each other for each lens; what camera_info says is used, or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.bench.depth.rendering import turned
from trt_ssd_ros.depth.camera_model import CameraModelError, PinholeCamera, map_boxes

PLAIN = PinholeCamera(640, 480, 525.0, 520.0, 319.5, 239.5)
TURNED = tuple(turned(0.02, -0.01, 0.015).ravel().tolist())
LENSES = {
    "plain": PLAIN,
    "plumb_bob": PinholeCamera(640, 480, 525, 520, 310, 250, "plumb_bob", (-0.2, 0.06, 0.001, -0.002, 0.0)),
    "rational": PinholeCamera(
        640, 480, 525, 520, 310, 250, "rational_polynomial", (0.5, -2.4, 0.001, -0.0002, 1.4, 0.4, -2.2, 1.3)
    ),
    "equidistant": PinholeCamera(640, 480, 285, 286, 310, 250, "equidistant", (-0.007, 0.04, -0.03, 0.005)),
    "ideal equidistant": PinholeCamera(640, 480, 285, 286, 310, 250, "equidistant", (0.0, 0.0, 0.0, 0.0)),
    "turned": PinholeCamera(640, 480, 525, 520, 310, 250, "plumb_bob", (-0.2, 0.06, 0, 0, 0), TURNED),
}
COORDINATES = st.tuples(st.floats(0, 639), st.floats(0, 479), st.floats(0.1, 50))


def camera_info(**changed: Any) -> SimpleNamespace:
    """A camera_info of a calibrated camera with a distorted lens."""
    fields: dict[str, Any] = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [-0.2, 0.06, 0.001, -0.002, 0.0],
        "k": [525.0, 0, 310, 0, 520, 250, 0, 0, 1],
        "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        "p": [500.0, 0, 315, -25, 0, 500, 245, 0, 0, 0, 1, 0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    return SimpleNamespace(**fields | changed)


@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES)
@given(at=st.lists(COORDINATES, max_size=5))
@settings(max_examples=30)
def test_a_point_on_the_ray_of_a_pixel_is_projected_to_the_pixel(camera, at):
    pixels, depths = np.reshape(at, (-1, 3))[:, :2], np.reshape(at, (-1, 3))[:, 2:]
    rays = camera.rays(pixels)
    points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depths
    np.testing.assert_allclose(camera.project(points), pixels, atol=1e-3)


def test_the_ray_of_the_principal_point_is_the_optical_axis_and_x_is_right_and_y_down():
    assert PLAIN.rays([319.5, 239.5]).tolist() == [0, 0]
    assert (PLAIN.rays([400, 300]) > 0).all()
    assert PLAIN.pixel_rays.shape == (480, 640, 2)
    np.testing.assert_allclose(PLAIN.pixel_rays[10, 20], PLAIN.rays([20, 10]), rtol=1e-6)


@pytest.mark.parametrize("z", [0.0, -1.0])
def test_points_that_are_not_in_front_of_the_camera_have_no_pixel(z):
    assert np.isnan(PLAIN.project([[0.1, 0.1, z]])).all()


def test_raw_images_are_described_by_k_and_d_and_rectified_ones_by_p_without_its_baseline():
    raw = PinholeCamera.from_info(camera_info(), rectified=False)
    assert (raw.fx, raw.fy, raw.cx, raw.cy) == (525, 520, 310, 250)
    assert raw.distortion == (-0.2, 0.06, 0.001, -0.002, 0.0)
    rectified = PinholeCamera.from_info(camera_info(), rectified=True)
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy) == (500, 500, 315, 245)
    assert not rectified.distortion


def fisheye(d: Sequence[float]) -> PinholeCamera:
    """The raw camera of a camera_info with the equidistant model and a focal length of 200 pixels."""
    k = [200.0, 0, 320, 0, 200, 240, 0, 0, 1]
    return PinholeCamera.from_info(camera_info(distortion_model="equidistant", d=d, k=k), rectified=False)


@pytest.mark.parametrize("coefficients", [[0.0] * 4, [-0.01, 0.002, 0.0, 0.0], [0.1, -0.05, 0.02, -0.003]])
def test_an_equidistant_camera_is_no_pinhole_camera_even_without_coefficients(coefficients):
    angles = np.linspace(0, 1.5, 16)
    powers = angles[:, None] ** np.arange(0, 9, 2)
    columns = 320 + 200 * angles * (powers @ [1, *coefficients])
    rays = fisheye(coefficients).rays(np.stack([columns, np.full_like(columns, 240)], axis=1))
    np.testing.assert_allclose(rays, np.stack([np.tan(angles), np.zeros_like(angles)], axis=1), rtol=1e-6)


@pytest.mark.parametrize("coefficients", [[0.0] * 4, [-0.01, 0.002, 0.0, 0.0], [0.1, -0.5, 0.3, -0.1]])
def test_pixels_that_see_behind_the_camera_have_no_ray(coefficients):
    camera = fisheye(coefficients)
    assert np.isnan(camera.rays([[320 + 200 * 1.7, 240], [320, 240 - 200 * 3]])).all()
    assert np.isfinite(camera.rays([330, 240])).all()
    assert np.isnan(map_boxes([[400, 100, 320 + 200 * 1.7, 300]], camera, PLAIN)).any()


def test_an_equidistant_camera_needs_no_coefficients():
    assert fisheye([]) == fisheye([0.0] * 4)


def test_zero_coefficients_of_other_models_are_no_distortion():
    plain = camera_info(d=[0.0] * 5, p=[0.0] * 12)
    assert PinholeCamera.from_info(plain, rectified=False) == PinholeCamera(640, 480, 525, 520, 310, 250)


def test_without_p_a_rectified_image_is_described_by_k():
    assert PinholeCamera.from_info(camera_info(p=[0.0] * 12), rectified=True).fx == 525


def test_a_region_and_binning_are_applied_in_the_order_of_the_message():
    roi = SimpleNamespace(x_offset=100, y_offset=50, width=400, height=300)
    info = camera_info(d=[], p=[0.0] * 12, binning_x=2, binning_y=2, roi=roi)
    assert PinholeCamera.from_info(info, rectified=False) == PinholeCamera(200, 150, 262.5, 260, 105, 100)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"k": [0.0] * 9}, "focal lengths 0 and 0"),
        ({"width": 0}, "size 0x480"),
        ({"k": [525.0, 0, 310]}, "3 numbers in k, expected 9"),
        ({"distortion_model": "odd"}, "'odd' with 5 coefficients, expected one of plumb_bob"),
        ({"d": [0.1, 0.2, 0.3]}, "'plumb_bob' with 3 coefficients"),
        ({"k": [np.nan, 0, 310, 0, 520, 250, 0, 0, 1]}, "focal lengths nan"),
        ({"d": [np.nan] * 5}, "a number in K, P, D or R that is infinite or no number"),
    ],
)
def test_an_unusable_camera_info_is_refused_with_what_was_found(changed, words):
    with pytest.raises(CameraModelError, match=words):
        PinholeCamera.from_info(camera_info(**changed), rectified=False)


def test_an_image_of_another_size_is_refused_with_both_sizes():
    PLAIN.require_size(640, 480)
    with pytest.raises(CameraModelError, match="848x480 pixels, but its camera_info is for 640x480"):
        PLAIN.require_size(848, 480)


@pytest.mark.parametrize("boxes", [[], [[0, 0, 640, 480]], [[10, 20, 30, 40], [600, 400, 700, 500]]])
def test_boxes_keep_their_place_if_only_the_resolution_changes(boxes):
    half = map_boxes(boxes, PLAIN, PLAIN.resized(320, 240))
    np.testing.assert_allclose(half, np.reshape(boxes, (-1, 4)) / 2, atol=1e-4)
    np.testing.assert_allclose(
        map_boxes(half, PLAIN.resized(320, 240), PLAIN), np.reshape(boxes, (-1, 4)), atol=1e-3
    )


def test_boxes_of_a_distorted_image_are_mapped_to_the_rectified_one_and_back():
    boxes = np.array([[100, 100, 200, 300], [500, 20, 620, 90]], np.float32)
    rectified = map_boxes(boxes, LENSES["plumb_bob"], PLAIN)
    assert np.abs(rectified - boxes).max() > 5
    np.testing.assert_allclose(map_boxes(rectified, PLAIN, LENSES["plumb_bob"]), boxes, atol=1.5)


@pytest.mark.parametrize("boxes", [[], [[0, 0, 320, 240]], [[-np.inf, 0, np.inf, 9]], [[0, 0, 340, 9]]])
def test_boxes_of_the_image_fit_its_camera(boxes):
    PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5).require_boxes(boxes)


def test_a_box_of_a_larger_image_does_not_fit():
    with pytest.raises(CameraModelError, match="ends at 9, 300, but camera_info is for 320x240 pixels"):
        PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5).require_boxes([[0, 0, 9, 300], [0, 0, 5, 5]])
