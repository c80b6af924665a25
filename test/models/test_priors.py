"""Prior boxes against numbers worked out by hand from the published generators.

tensorflow/models, research/object_detection/anchor_generators: multiple_grid_anchor_generator.py (the SSD one),
multiscale_grid_anchor_generator.py (the FPN one), and the expectations of its tests. The default boxes are held
against those of torchvision's own DefaultBoxGenerator, printed by torchvision 0.14.1 (and torch 1.13.1) for
ssd300_vgg16 and ssdlite320_mobilenet_v3_large.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest

from trt_ssd_ros.models.priors import (
    DefaultBoxGenerator,
    MultiscaleAnchorGenerator,
    SsdAnchorGenerator,
    decode_boxes,
)

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


def test_the_interpolated_square_of_2017_comes_second():
    """multiple_grid_anchor_generator.py of 2017 adds it right after the box of ratio 1."""
    today = SSD_300.priors(300, 300)[1083:].reshape(-1, 6, 4)
    before = SsdAnchorGenerator(SSD_300.feature_maps, interpolated="second").priors(300, 300)
    np.testing.assert_array_equal(before[:1083], SSD_300.priors(300, 300)[:1083])
    np.testing.assert_array_equal(before[1083:].reshape(-1, 6, 4), today[:, [0, 5, 1, 2, 3, 4]])


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
        ({"reduce_lowest": False, "interpolated": "second"}, [0.2, sqrt(0.2 * 0.5), 0.2 * sqrt(3)]),
        ({"interpolated": "second"}, [0.1, 0.2 * sqrt(2), 0.2 / sqrt(2)]),
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


def squares(*cells: int) -> list[tuple[int, int]]:
    return [(count, count) for count in cells]


SSD300_VGG16 = DefaultBoxGenerator(
    squares(38, 19, 10, 5, 3, 1),
    scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    steps=(8, 16, 32, 64, 100, 300),
)
SSDLITE320 = DefaultBoxGenerator(
    squares(20, 10, 5, 3, 2, 1),
    scales=(0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0),
    aspect_ratios=((2, 3),) * 6,
)


def pixel_corners(generator: DefaultBoxGenerator, side: int) -> np.ndarray:
    """Return x1 y1 x2 y2 in pixels, as torchvision's generator does."""
    return corners(generator.priors(side, side), side, side)[:, [1, 0, 3, 2]]


@pytest.mark.parametrize(
    ("generator", "side", "count", "sums"),
    [
        (
            SSD300_VGG16,
            300,
            8732,
            [1157388.8383276463, 1157388.8383276463, 1508979.1625099182, 1508979.1625099182],
        ),
        (SSDLITE320, 320, 3234, [370975.7188396454, 370975.7188396454, 663904.2783432007, 663904.2783432007]),
    ],
)
def test_default_boxes_add_up_to_torchvision_s(generator, side, count, sums):
    boxes = pixel_corners(generator, side)
    assert boxes.shape == (count, 4)
    np.testing.assert_allclose(boxes.sum(axis=0, dtype=np.float64), sums, rtol=1e-6)


@pytest.mark.parametrize(
    ("generator", "side", "row", "published"),
    [
        (SSD300_VGG16, 300, 0, [-6.5, -6.5, 14.5, 14.5]),
        (SSD300_VGG16, 300, 1, [-11.3704, -11.3704, 19.3704, 19.3704]),
        (SSD300_VGG16, 300, 2, [-10.8492, -3.4246, 18.8492, 11.4246]),
        (SSD300_VGG16, 300, 3, [-3.4246, -10.8492, 11.4246, 18.8492]),
        (SSD300_VGG16, 300, 4, [1.5, -6.5, 22.5, 14.5]),
        (SSD300_VGG16, 300, 5775, [292.5754, 285.1508, 307.4246, 314.8492]),
        (SSD300_VGG16, 300, 5776, [-14.5, -14.5, 30.5, 30.5]),
        (SSD300_VGG16, 300, 5780, [-30.9711, -4.9904, 46.9711, 20.9904]),
        (SSD300_VGG16, 300, 8542, [-44.5, -44.5, 108.5, 108.5]),
        (SSD300_VGG16, 300, 8729, [6.6342, 6.6342, 293.3658, 293.3658]),
        (SSD300_VGG16, 300, 8731, [57.7226, 0.0, 242.2774, 300.0]),  # clipped to the input
        (SSDLITE320, 320, 0, [-24.0, -24.0, 40.0, 40.0]),
        (SSDLITE320, 320, 1, [-34.332, -34.332, 50.332, 50.332]),
        (SSDLITE320, 320, 4, [-47.4256, -10.4752, 63.4256, 26.4752]),
        (SSDLITE320, 320, 2399, [293.5248, 256.5744, 330.4752, 367.4256]),
        (SSDLITE320, 320, 3150, [-50.6667, -50.6667, 157.3333, 157.3333]),
        (SSDLITE320, 320, 3233, [72.2428, 0.0, 247.7572, 320.0]),
    ],
)
def test_default_boxes_are_torchvision_s(generator, side, row, published):
    np.testing.assert_allclose(pixel_corners(generator, side)[row], published, atol=1e-4)


# qfgaohao/pytorch-ssd (jetson-inference), vision/ssd/config/mobilenetv1_ssd_config.py: SSDSpec(map, shrinkage,
# (min, max), [2, 3]) with 19, 16, (60, 105) first and 1, 300, (285, 330) last.
PYTORCH_SSD = DefaultBoxGenerator(
    squares(19, 10, 5, 3, 2, 1),
    scales=(0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1),
    aspect_ratios=((2, 3),) * 6,
    steps=(16, 32, 64, 100, 150, 300),
)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, (8 / 300, 8 / 300, 60 / 300, 60 / 300)),  # half a step of 16 pixels, not of 300 / 19
        (1, (8 / 300, 8 / 300, sqrt(60 * 105) / 300, sqrt(60 * 105) / 300)),
        (2, (8 / 300, 8 / 300, 60 * sqrt(2) / 300, 60 / sqrt(2) / 300)),
        (5, (8 / 300, 8 / 300, 60 / sqrt(3) / 300, 60 * sqrt(3) / 300)),
        (6, (24 / 300, 8 / 300, 60 / 300, 60 / 300)),
        (2999, (0.5, 0.5, 285 / sqrt(3) / 300, 1)),
    ],
)
def test_default_boxes_are_pytorch_ssd_s(row, expected):
    priors = PYTORCH_SSD.priors(300, 300)
    assert len(priors) == 3000
    np.testing.assert_allclose(priors[row], expected, rtol=1e-6)


def test_default_boxes_may_be_square_in_pixels_of_an_oblong_input():
    """TAO's AnchorBoxes, 384 x 1248: sizes are scales of the shorter side, cells divide the input evenly."""
    tao = DefaultBoxGenerator([(24, 78)], (0.05, 0.1), ((2,),), scale_of="shorter_side", clip=False)
    priors = tao.priors(height=384, width=1248) * [1248, 384, 1248, 384]
    assert len(priors) == 24 * 78 * 4
    small = 0.05 * 384
    np.testing.assert_allclose(priors[0], [8, 8, small, small], rtol=1e-6)
    np.testing.assert_allclose(priors[2], [8, 8, small * sqrt(2), small / sqrt(2)], rtol=1e-6)
    np.testing.assert_allclose(priors[-1], [1240, 376, small / sqrt(2), small * sqrt(2)], rtol=1e-6)


@pytest.mark.parametrize(
    ("order", "scales", "encoded"),
    [("yxhw", (10, 20, 5, 1), (5, -20, 0, log(2))), ("xywh", (20, 10, 1, 5), (-20, 5, log(2), 0))],
)
def test_boxes_are_decoded_around_their_priors(order, scales, encoded):
    """Centre .5 - .2 and .4 + .5 * .1, twice as wide, as high."""
    corners = decode_boxes(np.array([encoded]), np.array([[0.5, 0.4, 0.2, 0.1]]), scales, order)
    np.testing.assert_allclose(corners, [[0.1, 0.4, 0.5, 0.5]], rtol=1e-12)
