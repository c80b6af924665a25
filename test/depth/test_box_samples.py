"""Each cell shows the pixel at its centre; cells beyond the image show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from trt_ssd_ros.depth.box_samples import CENTRES, GRID, BoxSamples
from trt_ssd_ros.depth.depth_samples import DepthImage

IMAGE = 1 + np.arange(48 * 64).reshape(48, 64)


@pytest.mark.parametrize("box", [(10.3, 8.2, 40.7, 35.1), (0.0, 0.0, 64.0, 48.0), (60.2, 20.2, 60.4, 20.4)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_cell_has_the_depth_of_the_pixel_at_its_centre(dtype, box):
    x1, y1, x2, y2 = box
    columns, rows = np.floor(x1 + (x2 - x1) * CENTRES), np.floor(y1 + (y2 - y1) * CENTRES)
    inside = (rows[:, None] >= 0) & (rows[:, None] < 48) & (columns >= 0) & (columns < 64)
    expected = np.where(inside, 1 + 64 * rows[:, None] + columns, np.nan)
    found = BoxSamples.take(DepthImage(IMAGE.astype(dtype)), [(5.0, 5.0, 9.0, 9.0), box]).depths
    assert found.shape == (2, GRID, GRID)
    np.testing.assert_array_equal(found[1], expected)
