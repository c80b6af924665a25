"""Placement: where the object in each box is, from the depths in the box. docs/places.md explains the steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trt_ssd_ros.depth.box_samples import GRID, INNER, Array, BoxSamples, Mask
from trt_ssd_ros.depth.camera_model import PinholeCamera, box_rays
from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.depth.object_layer import ObjectLayer, object_layer
from trt_ssd_ros.depth.outline import Outlines, find_outlines

THICKNESS = (0.05, 0.95)
"""Quantiles of the depths of an object between which its thickness lies."""
CELL_ERROR = 0.4
"""Standard deviation of an edge that the depths show, in cells; PIXEL_ERROR adds to it."""
PIXEL_ERROR = 0.35
"""Standard deviation of an edge that the depths show, in pixels."""
BOX_ERROR = 0.045
"""Standard deviation of an edge that only the detector knows, in widths or heights of the outline."""
SURFACE_ERROR = 0.028
"""Standard deviation of the median depth, in thicknesses of the surface."""
COVERED = 0.1
"""Part of the samples of a box that are nearer than the object, from which on they may hide a side of it."""
HIDDEN_ERROR = 0.25
"""Further standard deviation of the median depth, in thicknesses, if something hides a part of the object."""
HIDDEN_EDGE_ERROR = 0.025
"""Further standard deviation of the centre, in widths and heights, if something hides a part of the object."""
RELATIVE_ERROR = 0.001
"""Standard deviation of the median depth in parts of the depth, for the sensor's own error."""


class Reason(Enum):
    """Reason why a detection has no place; the value is the text that users read."""

    NO_DEPTH_IMAGE = "no depth image"
    NO_CALIBRATION = "no calibration"
    NO_TRANSFORM = "no transform"
    OUTSIDE = "box outside of the depth image"
    NO_DEPTH = "no depth in the box"
    OUT_OF_RANGE = "out of range"
    FAILED = "placement failed"


@dataclass(frozen=True)
class PlacementSettings:
    """Settings that may change between two images.

    Attributes:
        min_range: Least distance along the optical axis in metres; nearer samples are ignored.
        max_range: Greatest distance along the optical axis in metres; samples further away are ignored.
        max_points: Largest number of points of one object.

    Raises:
        ValueError: A number is out of range; the message begins with the attribute's name.
    """

    min_range: float = 0.1
    max_range: float = 10.0
    max_points: int = 200

    def __post_init__(self) -> None:
        if not 0 < self.min_range < 1000:
            raise ValueError(f"min_range: found {self.min_range}, expected more than 0 and less than 1000 m")
        if not self.min_range < self.max_range <= 1000:
            expected = f"more than min_range, which is {self.min_range} m, and up to 1000 m"
            raise ValueError(f"max_range: found {self.max_range}, expected {expected}")
        if self.max_points < 1:
            raise ValueError(f"max_points: found {self.max_points}, expected 1 or more")


@dataclass(frozen=True, eq=False)
class Placement:
    """Place of an object, in the optical frame: x right, y down, z away from the camera.

    Attributes:
        centre: (3,) float64 in metres: the ray through the middle of the object's outline, at the median depth of
            the surface that faces the camera. The rear of an object is not seen, and not guessed.
        size: (3,) float64 in metres: width and height of the outline at that depth, thickness of the surface.
        covariance: (3, 3) float64 in square metres, of `centre`.
        points: (M, 3) float32 in metres: samples of the surface.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    covariance: NDArray[np.float64]
    points: NDArray[np.float32]


def place_objects(
    depth: DepthImage, boxes: ArrayLike, camera: PinholeCamera, settings: PlacementSettings
) -> list[Placement | Reason]:
    """Return the place of the object in each box, or the reason why it has none.

    Args:
        depth: Depth image.
        boxes: (N, 4) x1 y1 x2 y2 in pixels of the depth image; they may reach beyond the image.
        camera: Camera of the depth image.
        settings: Range of depths and bounds.

    Raises:
        CameraModelError: The depth image has another size than the camera.
    """
    height, width = depth.size
    camera.require_size(width, height)
    clipped = np.clip(np.asarray(boxes, np.float64).reshape(-1, 4), 0, [width, height, width, height])
    placed: list[Placement | Reason] = [Reason.OUTSIDE] * len(clipped)
    inside = np.flatnonzero((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    if len(inside):
        samples = BoxSamples.take(depth, clipped[inside])
        for index, place in zip(inside.tolist(), _places(samples, camera, settings), strict=True):
            placed[index] = place
    return placed


def _places(samples: BoxSamples, camera: PinholeCamera, settings: PlacementSettings) -> list[Placement | Reason]:
    # NaN marks what was not measured, and some drivers write the largest float instead.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        layer = object_layer(samples, settings.min_range, settings.max_range)
        outlines = find_outlines(samples, layer)
        nearest, depths, furthest = _quantiles(samples, layer, outlines)
        edges = box_rays(outlines.boxes, camera)
        rays = np.concatenate([(edges[:, :2] + edges[:, 2:]) / 2, np.ones((len(edges), 1))], axis=1)
        sides = (edges[:, 2:] - edges[:, :2]) * depths[:, None]
        sizes = np.concatenate([sides, (furthest - nearest)[:, None]], axis=1)
        covariances = _covariances(
            rays * depths[:, None], sizes, samples, outlines, _hidden(samples, layer, outlines)
        )
    points = _points(samples, layer, camera, settings.max_points)
    return [
        Placement(ray * z, size, covariance, own) if len(own) and np.isfinite(ray).all() else _reason(inner)
        for ray, z, size, covariance, own, inner in zip(
            rays, depths, sizes, covariances, points, samples.inner, strict=True
        )
    ]


def _reason(depths: NDArray[np.float32]) -> Reason:
    return Reason.OUT_OF_RANGE if np.isfinite(depths).any() else Reason.NO_DEPTH


def _quantiles(samples: BoxSamples, layer: ObjectLayer, outlines: Outlines) -> tuple[Array, Array, Array]:
    """Return the low end, the median and the high end (N,) of each object's depths in metres.

    Where an end of the object is hidden, its last visible cells are repeated up to the outline. Without this, half
    of a slanted surface would give the median of that half.
    """
    steps = np.arange(GRID)
    low, high = outlines.visible[:, :2, None], outlines.visible[:, 2:, None]
    column, row = np.minimum(np.maximum(steps, low), high - 1).transpose(1, 0, 2)
    within = (steps >= outlines.cells[:, :2, None]) & (steps < outlines.cells[:, 2:, None])
    at = np.arange(len(low))[:, None, None], row[:, :, None], column[:, None]
    used = layer.mask[at] & within[:, 1, :, None] & within[:, 0, None]
    depths = samples.depths[at]
    sparse = ~used.any(axis=(1, 2))  # single measurements outside of the lines that show the object
    used[sparse], depths[sparse] = layer.mask[sparse], samples.depths[sparse]
    depths = np.where(used, depths, np.float32(np.inf)).reshape(len(low), -1)
    depths.sort(axis=1)
    last = np.maximum(used.sum(axis=(1, 2)) - 1, 0)
    box = np.arange(len(low))
    near, middle, far = (
        depths[box, (part * last).astype(int)].astype(np.float64) for part in (THICKNESS[0], 0.5, THICKNESS[1])
    )
    return near, middle, far


def _hidden(samples: BoxSamples, layer: ObjectLayer, outlines: Outlines) -> Mask:
    """Return whether something hides a part of the objects (N,)."""
    covered = (samples.inner < layer.near[:, None, None]).sum(axis=(1, 2)) > COVERED * INNER**2
    return np.asarray(covered | (outlines.cells != outlines.visible).any(axis=1))


def _covariances(centres: Array, sizes: Array, samples: BoxSamples, outlines: Outlines, hidden: Mask) -> Array:
    """Return the covariances (N, 3, 3) in m² of centres (N, 3), from the errors of edges and depths."""
    boxes = samples.boxes[:, 2:] - samples.boxes[:, :2]
    pixels = outlines.boxes[:, 2:] - outlines.boxes[:, :2]
    shown = (CELL_ERROR / INNER * boxes) ** 2 + PIXEL_ERROR**2
    edges = np.where(outlines.seen.reshape(-1, 2, 2), shown[:, None], ((BOX_ERROR * pixels) ** 2)[:, None])
    across = edges.sum(axis=1) / 4 * (sizes[:, :2] / pixels) ** 2
    across += hidden[:, None] * (HIDDEN_EDGE_ERROR * sizes[:, :2]) ** 2
    surface = np.where(hidden, np.hypot(SURFACE_ERROR, HIDDEN_ERROR), SURFACE_ERROR) * sizes[:, 2]
    along = (surface / centres[:, 2]) ** 2 + RELATIVE_ERROR**2
    covariances = along[:, None, None] * (centres[:, :, None] * centres[:, None])
    covariances[:, [0, 1], [0, 1]] += across
    return np.asarray(covariances)


def _points(
    samples: BoxSamples, layer: ObjectLayer, camera: PinholeCamera, most: int
) -> list[NDArray[np.float32]]:
    """Return the points of each object: every k-th sample, so that there are at most `most`."""
    box, row, column = np.nonzero(layer.mask)
    counts = np.bincount(box, minlength=len(layer.mask))
    ends = np.cumsum(counts)
    number = np.arange(len(box)) - (ends - counts)[box]
    kept = number % -(-counts // most)[box] == 0
    box, row, column = box[kept], row[kept], column[kept]
    z = samples.depths[box, row, column]
    points = np.empty((len(box), 3), np.float32)
    points[:, :2] = (
        camera.rays(np.stack([samples.columns[box, column], samples.rows[box, row]], axis=1)) * z[:, None]
    )
    points[:, 2] = z
    seen = np.isfinite(points).all(axis=1)  # a fisheye lens also sees to the side, where no depth image measures
    points, box = points[seen], box[seen]
    return np.split(points, np.searchsorted(box, np.arange(1, len(counts))))
