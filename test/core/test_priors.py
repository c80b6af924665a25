"""Prior boxes against numbers worked out by hand from the published generators.

tensorflow/models, research/object_detection/anchor_generators: multiple_grid_anchor_generator.py (the SSD one),
multiscale_grid_anchor_generator.py (the FPN one), and the expectations of its tests.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from trt_ssd_ros.core.priors import MultiscaleAnchorGenerator, SsdAnchorGenerator

SSD_300 = SsdAnchorGenerator(feature_maps=(19, 10, 5, 3, 2, 1))
FPN = MultiscaleAnchorGenerator()


@pytest.mark.parametrize(
    ("generator", "height", "width", "count"),
    [
        (SSD_300, 300, 300, 19 * 19 * 3 + (100 + 25 + 9 + 4 + 1) * 6),
        (SSD_300, 300, 300, 1917),
        (SSD_300, 320, 512, 1917),
        (FPN, 320, 320, (40**2 + 20**2 + 10**2 + 5**2 + 3**2) * 6),
        (FPN, 320, 320, 12804),
        (FPN, 640, 640, 51150),
        (FPN, 320, 640, (40 * 80 + 20 * 40 + 10 * 20 + 5 * 10 + 3 * 5) * 6),
        (MultiscaleAnchorGenerator(5, 5, 4.0, (1.0,), 1), 64, 64, 4),
    ],
)
def test_there_are_as_many_as_the_networks_emit(generator, height, width, count):
    priors = generator.priors(height, width)
    assert priors.shape == (count, 4)
    assert priors.dtype == np.float32


# The scales of six maps are .2 .35 .5 .65 .8 .95, and 1 after the last; sizes are scale * sqrt(ratio) wide and
# scale / sqrt(ratio) high.
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, (0.5 / 19, 0.5 / 19, 0.1, 0.1)),
        (1, (0.5 / 19, 0.5 / 19, 0.2 * sqrt(2), 0.2 / sqrt(2))),
        (2, (0.5 / 19, 0.5 / 19, 0.2 / sqrt(2), 0.2 * sqrt(2))),
        (3, (1.5 / 19, 0.5 / 19, 0.1, 0.1)),  # the next cell of the row
        (19 * 3, (0.5 / 19, 1.5 / 19, 0.1, 0.1)),  # the next row
        (1083, (0.05, 0.05, 0.35, 0.35)),  # the second map: ratios 1, 2, 1/2, 3, .3333, interpolated
        (1084, (0.05, 0.05, 0.35 * sqrt(2), 0.35 / sqrt(2))),
        (1085, (0.05, 0.05, 0.35 / sqrt(2), 0.35 * sqrt(2))),
        (1086, (0.05, 0.05, 0.35 * sqrt(3), 0.35 / sqrt(3))),
        (1087, (0.05, 0.05, 0.35 * sqrt(0.3333), 0.35 / sqrt(0.3333))),
        (1088, (0.05, 0.05, sqrt(0.35 * 0.5), sqrt(0.35 * 0.5))),
        (1089, (0.15, 0.05, 0.35, 0.35)),
        (1911, (0.5, 0.5, 0.95, 0.95)),
        (1916, (0.5, 0.5, sqrt(0.95), sqrt(0.95))),  # the last map is followed by scale 1
    ],
)
def test_ssd_rows_of_a_300_pixel_input(row, expected):
    np.testing.assert_allclose(SSD_300.priors(300, 300)[row], expected, rtol=1e-6)


def test_ssd_boxes_of_an_oblong_input_are_scaled_by_its_shorter_side():
    square, wide = SSD_300.priors(300, 300), SSD_300.priors(300, 600)
    np.testing.assert_array_equal(wide[:, :2], square[:, :2])
    np.testing.assert_allclose(wide[:, 2], square[:, 2] / 2, rtol=1e-6)
    np.testing.assert_allclose(wide[:, 3], square[:, 3], rtol=1e-6)
    tall = SSD_300.priors(600, 300)
    np.testing.assert_allclose(tall[:, 2], square[:, 2], rtol=1e-6)
    np.testing.assert_allclose(tall[:, 3], square[:, 3] / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [0.1, 0.2 * sqrt(2), 0.2 / sqrt(2)]),
        ({"reduce_lowest": False}, [0.2, 0.2 * sqrt(3), sqrt(0.2 * 0.5)]),
        ({"reduce_lowest": False, "interpolated_ratio": 0}, [0.2, 0.2 * sqrt(3)]),
        ({"reduce_lowest": False, "interpolated_ratio": 4.0}, [0.2, 0.2 * sqrt(3), 2 * sqrt(0.2 * 0.5)]),
    ],
)
def test_ssd_shapes_of_the_first_map(options, sizes):
    generator = SsdAnchorGenerator((2, 1), 0.2, 0.5, aspect_ratios=(1.0, 3.0), **options)
    priors = generator.priors(100, 100)
    first_map = priors[: 4 * len(sizes)].reshape(4, len(sizes), 4)
    np.testing.assert_allclose(first_map[..., 2], np.tile(sizes, (4, 1)), rtol=1e-6)
    np.testing.assert_array_equal(first_map[:, 0, :2], [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)])


def corners(priors: np.ndarray, width: int, height: int) -> np.ndarray:
    """Turn priors into the y1 x1 y2 x2 in pixels that the published tests state."""
    x, y, w, h = (priors * [width, height, width, height]).T
    return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1)


@pytest.mark.parametrize(
    ("generator", "side", "published"),
    [
        (
            MultiscaleAnchorGenerator(5, 6, 4.0, (1.0,), 1),
            64,
            [
                [-48, -48, 80, 80],
                [-48, -16, 80, 112],
                [-16, -48, 112, 80],
                [-16, -16, 112, 112],
                [-96, -96, 160, 160],
            ],
        ),
        (
            MultiscaleAnchorGenerator(6, 6, 4.0, (1.0, 2.0), 2),
            64,
            [
                [-96.0, -96.0, 160.0, 160.0],
                [-149.0193, -149.0193, 213.0193, 213.0193],
                [-58.50967, -149.0193, 122.50967, 213.0193],
                [-96.0, -224.0, 160.0, 288.0],
            ],
        ),
        (
            MultiscaleAnchorGenerator(5, 5, 4.0, (1.0,), 1),
            65,  # 65 leaves a rest: no offset
            [
                [-64, -64, 64, 64],
                [-64, -32, 64, 96],
                [-64, 0, 64, 128],
                [-32, -64, 96, 64],
                [-32, -32, 96, 96],
                [-32, 0, 96, 128],
                [0, -64, 128, 64],
                [0, -32, 128, 96],
                [0, 0, 128, 128],
            ],
        ),
    ],
)
def test_multiscale_boxes_are_those_of_the_published_tests(generator, side, published):
    np.testing.assert_allclose(corners(generator.priors(side, side), side, side), published, atol=1e-3)


# A size is 4 * stride * 2^(octave / 2) pixels, times or over the root of the ratio.
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, (4 / 320, 4 / 320, 32 / 320, 32 / 320)),
        (1, (4 / 320, 4 / 320, 32 * sqrt(2) / 320, 32 * sqrt(2) / 320)),
        (2, (4 / 320, 4 / 320, 32 * sqrt(2) / 320, 32 / sqrt(2) / 320)),
        (5, (4 / 320, 4 / 320, 32 / 320, 64 / 320)),  # ratio 1/2, second octave
        (6, (12 / 320, 4 / 320, 32 / 320, 32 / 320)),
        (9600, (8 / 320, 8 / 320, 64 / 320, 64 / 320)),  # level 4
        (12750, (0, 0, 512 / 320, 512 / 320)),  # level 7: 320 / 128 leaves a rest
        (12756, (128 / 320, 0, 512 / 320, 512 / 320)),
        (12803, (256 / 320, 256 / 320, 512 / 320, 1024 / 320)),
    ],
)
def test_multiscale_rows_of_a_320_pixel_input(row, expected):
    np.testing.assert_allclose(FPN.priors(320, 320)[row], expected, rtol=1e-6)


def test_a_level_that_leaves_a_rest_has_no_offset_on_that_side_only():
    """Level 6 of 300 x 256 pixels: 5 x 4 cells of 64; 300 leaves a rest, 256 does not."""
    priors = MultiscaleAnchorGenerator(6, 6, 1.0, (1.0,), 1).priors(height=300, width=256)
    assert len(priors) == 5 * 4
    np.testing.assert_allclose(np.unique(priors[:, 0]) * 256, [32, 96, 160, 224], rtol=1e-6)
    np.testing.assert_allclose(np.unique(priors[:, 1]) * 300, [0, 64, 128, 192, 256], rtol=1e-6)
    np.testing.assert_allclose(priors[0, 2:] * [256, 300], [64, 64], rtol=1e-6)
