"""Baselines: the ray through the centre of the box, at a depth that is simple to compute."""

from __future__ import annotations

import numpy as np

from trt_ssd_ros.bench.depth.rendering import Array
from trt_ssd_ros.depth.camera_model import PinholeCamera
from trt_ssd_ros.depth.depth_samples import DepthImage, Metres


def median_of_box(depth: DepthImage, box: Array, camera: PinholeCamera) -> Array:
    """Return the place (3,) in metres at the median of the depths in a box (4,), x1 y1 x2 y2 in pixels."""
    return _on_ray(box, camera, median_depth(depth, box))


def centre_pixel(depth: DepthImage, box: Array, camera: PinholeCamera) -> Array:
    """Return the place (3,) in metres at the depth of the measured pixel nearest to the centre of a box (4,)."""
    depths = _inside(depth, box)
    row, column = np.nonzero(np.isfinite(depths))
    middle = (np.array(depths.shape) - 1) / 2
    index = np.argmin((row - middle[0]) ** 2 + (column - middle[1]) ** 2)
    return _on_ray(box, camera, float(depths[row[index], column[index]]))


def median_depth(depth: DepthImage, box: Array) -> float:
    """Return the median of the measured depths in a box (4,), in metres."""
    depths = _inside(depth, box)
    return float(np.median(depths[np.isfinite(depths)]))


def pixels_of(box: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of a box (4,) inside of an image of a height and width."""
    height, width = size
    x1, y1, x2, y2 = np.rint(np.clip(box, 0, [width, height, width, height])).astype(int).tolist()
    return slice(y1, y2), slice(x1, x2)


def _inside(depth: DepthImage, box: Array) -> Metres:
    return depth.metres(*pixels_of(box, depth.size))


def _on_ray(box: Array, camera: PinholeCamera, depth: float) -> Array:
    ray = camera.rays((box[:2] + box[2:]) / 2 - 0.5)
    return np.array([*ray * depth, depth])
