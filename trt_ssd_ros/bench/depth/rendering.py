"""Ray casting of planes, boxes and cylinders into depth images, and the noise of a depth camera.

Points are in the camera's optical frame: x right, y down, z away from the camera, in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.camera_model import PinholeCamera

Array = NDArray[np.float64]
Random = np.random.Generator

WINDOW = 3
"""Distance in pixels over which half of the noise is one: stereo cameras match windows, not pixels."""


class Solid(Protocol):
    """Something that rays hit."""

    def depths(self, rays: Array) -> Array:
        """Return the depth (...) in metres at which rays (..., 3) with z = 1 hit it; infinite: not at all."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Plane of the points p with `normal @ p == offset`.

    Attributes:
        normal: (3,) unit vector.
        offset: Distance from the camera in metres.
    """

    normal: Array
    offset: float

    def depths(self, rays: Array) -> Array:
        """Return the depths (...) of rays (..., 3)."""
        with np.errstate(divide="ignore"):
            depth = self.offset / (rays @ self.normal)
        return np.where(depth > 0, depth, np.inf)


@dataclass(frozen=True, eq=False)
class Cuboid:
    """Rectangular box.

    Attributes:
        centre: (3,) in metres.
        size: (3,) edges in metres.
        rotation: (3, 3), from the box's axes to the camera's.
    """

    centre: Array
    size: Array
    rotation: Array

    def depths(self, rays: Array) -> Array:
        """Return the depths (...) of rays (..., 3), by the slab method (Kay and Kajiya, 1986)."""
        origin, directions = -self.centre @ self.rotation, rays @ self.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (np.stack([-self.size, self.size]) / 2 - origin)[:, None, None] / directions
        enters, leaves = ends.min(axis=0).max(axis=-1), ends.max(axis=0).min(axis=-1)
        return np.where((enters < leaves) & (enters > 0), enters, np.inf)


@dataclass(frozen=True, eq=False)
class Cylinder:
    """Cylinder with flat ends; its axis is the second one.

    Attributes:
        centre: (3,) in metres.
        radius: In metres.
        height: In metres.
        rotation: (3, 3), from the cylinder's axes to the camera's.
    """

    centre: Array
    radius: float
    height: float
    rotation: Array

    def depths(self, rays: Array) -> Array:
        """Return the depths (...) of rays (..., 3): through the mantle's quadratic equation, and the ends."""
        origin, way = -self.centre @ self.rotation, rays @ self.rotation
        around, along = [0, 2], 1
        a = np.sum(way[..., around] ** 2, axis=-1)
        b = way[..., around] @ origin[around]
        root = np.sqrt(np.maximum(b**2 - a * (origin[around] @ origin[around] - self.radius**2), 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (np.array([-self.height, self.height]) / 2 - origin[along])[:, None, None] / way[..., along]
            enters = np.maximum((-b - root) / a, ends.min(axis=0))
            leaves = np.minimum((-b + root) / a, ends.max(axis=0))
        return np.where((root > 0) & (enters < leaves) & (enters > 0), enters, np.inf)


def turned(yaw: float, roll: float = 0.0, pitch: float = 0.0) -> Array:
    """Return a rotation (3, 3) by angles in radians about y, then z (the optical axis), then x."""
    (a, b, c), (d, e, f) = np.cos([yaw, roll, pitch]), np.sin([yaw, roll, pitch])
    about_y = np.array([[a, 0, d], [0, 1, 0], [-d, 0, a]])
    about_z = np.array([[b, -e, 0], [e, b, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -f], [0, f, c]])
    return np.asarray(about_x @ about_z @ about_y)


def render(solids: Sequence[Solid], camera: PinholeCamera) -> Array:
    """Return the depth image (H, W) in metres without noise, infinite where rays hit nothing."""
    rays = np.concatenate([camera.pixel_rays, np.ones((camera.height, camera.width, 1))], axis=-1)
    nearest = np.full(rays.shape[:2], np.inf)
    for solid in solids:
        np.minimum(nearest, solid.depths(rays), out=nearest)
    return nearest


def deviation(depth: Array) -> Array:
    """Return the standard deviation of measured depths, both in metres.

    The axial noise of a structured-light camera (Nguyen, Izadi and Lovell, 2012, equation 2); it grows with the
    square of the depth as that of every triangulating camera.
    """
    return np.asarray(0.0012 + 0.0019 * (depth - 0.4) ** 2)


def measured(random: Random, depth: Array, holes: float) -> NDArray[np.uint16]:
    """Return a depth image (H, W) in millimetres as a camera measures it, 0 where nothing was measured.

    Args:
        random: Source of the noise.
        depth: Depth image without noise in metres.
        holes: Part of the pixels without a measurement, in blobs and single pixels.
    """
    noise = 0.7 * random.normal(size=depth.shape) + 0.7 * _coarse(random, depth.shape, WINDOW)
    known = np.where(np.isfinite(depth), depth, 0)
    noisy = mixed_edges(random, known) + deviation(known) * noise
    return np.asarray(
        np.where(_holes(random, depth.shape, holes) | (known == 0), 0, np.rint(noisy * 1000)), np.uint16
    )


def mixed_edges(random: Random, depth: Array) -> Array:
    """Return a depth image whose pixels at steps mix both depths at random ("flying pixels")."""
    window = np.ones((3, 3), np.uint8)
    near, far = cv2.erode(depth, window), cv2.dilate(depth, window)
    part = random.random(depth.shape)
    step = (far - near > 0.03 * near) & (near > 0) & (random.random(depth.shape) < 0.5)
    return np.where(step, near + part * (far - near), depth)


def _coarse(random: Random, shape: tuple[int, ...], window: float) -> Array:
    """Return noise (H, W) of mean 0 and deviation 1 that changes over `window` pixels."""
    height, width = shape
    noise = random.normal(size=(int(height / window) + 2, int(width / window) + 2))
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth / max(smooth.std(), 1e-9))


def _holes(random: Random, shape: tuple[int, ...], part: float) -> NDArray[np.bool_]:
    """Return which pixels are holes: three quarters of them in blobs."""
    blobs = _coarse(random, shape, 12)
    single = random.random(shape) < part / 4
    return np.asarray(single | (blobs > np.quantile(blobs, 1 - 0.75 * part)))
