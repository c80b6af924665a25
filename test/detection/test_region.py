"""Parts of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.region import WHOLE_IMAGE, Region, Window

SIZES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("numbers", "window"),
    [
        ((0, 0, 1, 1), Window(0, 0, 200, 100)),
        ((0.25, 0.5, 0.5, 0.5), Window(50, 50, 150, 100)),
        ((0.7, 0.9, 0.3, 0.1), Window(140, 90, 200, 100)),
        ((1, 1, 2, 3), Window(1, 1, 3, 4)),
        ((20, 30, 50, 60), Window(20, 30, 70, 90)),
        ((20, 30, 500, 600), Window(20, 30, 200, 100)),
        ((199, 99, 1, 1), Window(199, 99, 200, 100)),
    ],
)
def test_a_region_in_an_image_of_200_by_100(numbers, window):
    assert Region.of(numbers).window(200, 100) == window


@pytest.mark.parametrize("numbers", [(200, 0, 10, 10), (0, 100, 10, 10), (1e300, 0, 10, 10)])
def test_a_region_outside_of_the_image_is_refused(numbers):
    with pytest.raises(ValueError, match=r"roi: found its corner at .*, expected it inside the image of 200x100"):
        Region.of(numbers).window(200, 100)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((), "four numbers"),
        ((0, 0, 1), "four numbers"),
        ((0, 0, 0, 1), "positive sizes"),
        ((0, 0, 640, -1), "positive sizes"),
        ((-0.1, 0, 1, 1), "no number below 0"),
        ((0, float("nan"), 1, 1), "no number below 0"),
        ((0, 0, float("inf"), 1), "no number below 0"),
        ((0.5, 0.5, 100, 100), "whole pixels"),
        ((0.5, 0, 0.6, 1), "1 or less"),
        ((0, 1, 1, 1), "1 or less"),
    ],
)
def test_what_no_image_has_is_refused_with_numbers_and_expectation(numbers, said):
    with pytest.raises(ValueError, match=said) as refusal:
        Region.of(numbers)
    assert str(refusal.value).startswith(f"roi: found {list(numbers)}, expected ")


@given(SIZES, SIZES, st.floats(0, 1), st.floats(0, 1), st.floats(1e-9, 1), st.floats(1e-9, 1))
def test_fractions_give_at_least_a_pixel_of_every_image(width, height, x, y, w, h):
    window = Region(x, y, min(w, 1 - x) or 1e-9, min(h, 1 - y) or 1e-9).window(width, height)
    assert 0 <= window.left < window.right <= width
    assert 0 <= window.top < window.bottom <= height


@given(SIZES, SIZES, *[st.integers(0, 6000)] * 2, *[st.integers(2, 6000)] * 2)
def test_pixels_stay_inside_of_the_image_or_are_refused(width, height, x, y, w, h):
    region = Region(x, y, w, h)
    if x >= width or y >= height:
        with pytest.raises(ValueError, match="roi"):
            region.window(width, height)
    else:
        assert region.window(width, height) == Window(x, y, min(x + w, width), min(y + h, height))


def test_a_crop_is_a_view_and_its_detections_move_back():
    images = np.arange(2 * 40 * 60 * 3, dtype=np.uint8).reshape(2, 40, 60, 3)
    window = Window(10, 5, 30, 25)
    crop = window.crop(images)
    assert np.shares_memory(crop, images)
    np.testing.assert_array_equal(crop, images[:, 5:25, 10:30])
    moved = window.to_image(Detections([[0, 1, 2, 3]], [0.5], [7]))
    assert moved.boxes.tolist() == [[10, 6, 12, 8]]
    assert (moved.scores.tolist(), moved.class_ids.tolist()) == ([0.5], [7])


def test_all_of_the_image_is_the_region_of_the_same_fractions():
    assert Region.of([0.0, 0.0, 1.0, 1.0]) == WHOLE_IMAGE
