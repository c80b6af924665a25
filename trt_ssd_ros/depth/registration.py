"""Registration: a depth image as another camera of the robot would see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trt_ssd_ros.depth.camera_model import PinholeCamera
from trt_ssd_ros.depth.depth_samples import DepthImage

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RegisteredDepth:
    """Depth image in the optical frame of the colour camera.

    Attributes:
        depth: Depth image.
        camera: Camera of `depth`: it looks along the rays of the colour camera, without distortion, at a
            resolution that the depth samples fill. `camera_model.map_boxes` maps boxes of the colour image to it.
    """

    depth: DepthImage
    camera: PinholeCamera


def register(
    depth: DepthImage, depth_camera: PinholeCamera, colour_camera: PinholeCamera, colour_from_depth: ArrayLike
) -> RegisteredDepth:
    """Return a depth image as the colour camera sees it.

    Each depth sample becomes a point, which is projected into the colour camera. A pixel shows its nearest point.

    Args:
        depth: Depth image.
        depth_camera: Camera of the depth image.
        colour_camera: Camera of the colour image.
        colour_from_depth: (4, 4) transform of points from the depth camera's optical frame to the colour camera's.

    Raises:
        CameraModelError: The depth image has another size than its camera.
        ValueError: `colour_from_depth` is no (4, 4) matrix of finite numbers.
    """
    height, width = depth.size
    depth_camera.require_size(width, height)
    target = _plain_camera(colour_camera, depth_camera)
    rows = _matrix(colour_from_depth)[:3]
    x, y, z = _points(depth.metres(), depth_camera.pixel_rays)
    # Not as a matrix product: the threads of OpenBLAS take more processor time than they save.
    moved = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in rows]
    return RegisteredDepth(DepthImage(_nearest(moved, target)), target)


def _plain_camera(colour: PinholeCamera, depth: PinholeCamera) -> PinholeCamera:
    """Return the colour camera without distortion, at most as fine as the depth camera, so that no gaps appear."""
    scale = min(1.0, depth.fx / colour.fx, depth.fy / colour.fy)
    width, height = round(colour.width * scale), round(colour.height * scale)
    plain = PinholeCamera(colour.width, colour.height, colour.fx, colour.fy, colour.cx, colour.cy)
    return plain.resized(max(width, 1), max(height, 1))


def _matrix(transform: ArrayLike) -> NDArray[np.float32]:
    matrix = np.asarray(transform, np.float32)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"transform has the shape {matrix.shape}, expected (4, 4) and finite numbers")
    return matrix


def _points(metres: Samples, rays: Samples) -> Samples:
    """Return x, y and z (3, M) of the measured samples."""
    measured = np.isfinite(metres)
    points = np.empty((3, np.count_nonzero(measured)), np.float32)
    points[2] = metres[measured]
    for axis in range(2):
        np.multiply(rays[..., axis][measured], points[2], out=points[axis])
    return points


def _nearest(points: Sequence[Samples], camera: PinholeCamera) -> Samples:
    """Return the depths (H, W) of the nearest of the points x, y, z of each pixel, NaN where there is none."""
    x, y, z = points
    with np.errstate(divide="ignore", invalid="ignore"):  # points at z = 0, which are not inside
        u, v = np.rint(camera.fx * (x / z) + camera.cx), np.rint(camera.fy * (y / z) + camera.cy)
    inside = (z > 0) & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    pixels, depths = (v[inside] * camera.width + u[inside]).astype(np.intp), z[inside]
    image = np.full(camera.height * camera.width, np.inf, np.float32)
    while len(pixels):
        # Of several points of a pixel, any one stays. Those that are nearer are written again, until none is left:
        # few rounds, while sorting all points by depth takes most of the time.
        image[pixels] = depths
        nearer = depths < image[pixels]
        pixels, depths = pixels[nearer], depths[nearer]
    image[np.isinf(image)] = np.nan
    return image.reshape(camera.height, camera.width)
