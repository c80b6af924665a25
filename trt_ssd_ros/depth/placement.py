"""Placement: where the object in each box is, from the depths in the box. docs/places.md explains the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import hypot, isfinite

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trt_ssd_ros.depth.box_samples import INNER, INSIDE, Box, BoxSamples, Mask
from trt_ssd_ros.depth.camera_model import PinholeCamera, box_rays
from trt_ssd_ros.depth.depth_samples import DepthImage, Metres
from trt_ssd_ros.depth.object_layer import ObjectLayer, object_layer
from trt_ssd_ros.depth.outline import Extent, find_outlines
from trt_ssd_ros.depth.surface_points import SurfacePoints

LEAST_SIDE = 1e-3
"""Least width and height of the part of a box in the image, in pixels."""
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
        cloud: Returns `points`.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    covariance: NDArray[np.float64]
    cloud: Callable[[], Metres]

    @property
    def points(self) -> Metres:
        """(M, 3) float32 in metres: samples of the surface."""
        return self.cloud()


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
    placed: list[Placement | Reason] = []
    inside: dict[int, Box] = {}
    for index, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, np.float64).reshape(-1, 4).tolist()):
        box = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
        placed.append(Reason.OUTSIDE)
        if box[2] - box[0] >= LEAST_SIDE and box[3] - box[1] >= LEAST_SIDE:  # False for NaN
            inside[index] = box
    if inside:
        for index, place in zip(inside, _places(depth, list(inside.values()), camera, settings), strict=True):
            placed[index] = place
    return placed


def _places(
    depth: DepthImage, boxes: Sequence[Box], camera: PinholeCamera, settings: PlacementSettings
) -> list[Placement | Reason]:
    samples = BoxSamples.take(depth, boxes)
    layer = object_layer(samples, settings.min_range, settings.max_range)
    outlines = find_outlines(samples, layer)
    rays = box_rays([(x.low, y.low, x.high, y.high) for x, y in outlines], camera)
    points = SurfacePoints(samples, layer.mask, camera, settings.max_points)
    return [
        _place(index, samples, layer, *found, points)
        for index, found in enumerate(zip(outlines, rays, strict=True))
    ]


def _place(
    index: int,
    samples: BoxSamples,
    layer: ObjectLayer,
    outline: tuple[Extent, Extent],
    edges: list[float],
    points: SurfacePoints,
) -> Placement | Reason:
    """Return the place of the object in a box; `edges` are those of its outline, as x / z or y / z of rays."""
    depths, mask = samples.depths[index], layer.mask[index]
    found = _depths(depths, mask, outline)
    if not (len(found) and all(map(isfinite, edges))):
        return Reason.OUT_OF_RANGE if np.isfinite(depths[INSIDE, INSIDE]).any() else Reason.NO_DEPTH
    last = len(found) - 1
    near, z, far = [found.item(int(part * last)) for part in (THICKNESS[0], 0.5, THICKNESS[1])]
    x, y = outline
    hidden = x.cells != x.visible or y.cells != y.visible or _covered(depths, layer.ends[index][0])
    x1, y1, x2, y2 = edges
    centre = (x1 + x2) / 2 * z, (y1 + y2) / 2 * z, z
    size = (x2 - x1) * z, (y2 - y1) * z, far - near
    surface = (hypot(SURFACE_ERROR, HIDDEN_ERROR) if hidden else SURFACE_ERROR) * size[2]
    relative = (surface / z) ** 2 + RELATIVE_ERROR**2
    covariance = [[relative * one * other for other in centre] for one in centre]
    for axis, extent in enumerate(outline):
        side = samples.boxes[index][axis + 2] - samples.boxes[index][axis]
        covariance[axis][axis] += _variance(side, extent, size[axis], hidden)
    return Placement(np.array(centre), np.array(size), np.array(covariance), partial(points.of, index))


def _covered(depths: Metres, begin: float) -> bool:
    """Return whether many samples in a box are nearer than its object, which begins at a depth in metres."""
    nearer = depths < np.float32(begin)
    return np.count_nonzero(nearer[INSIDE, INSIDE]) > COVERED * INNER**2


def _depths(depths: Metres, mask: Mask, outline: tuple[Extent, Extent]) -> Metres:
    """Return the object's depths (K,) in metres, in order.

    Where an end of the object is hidden, its last visible cells are repeated up to the outline. Without this, half
    of a slanted surface would give the median of that half.
    """
    x, y = outline
    shown, hidden = (y.shown, x.shown), (*y.hidden, *x.hidden)
    found, used = depths[shown], mask[shown]
    if any(hidden):
        found = np.asarray(cv2.copyMakeBorder(found, *hidden, cv2.BORDER_REPLICATE), np.float32)
        used = np.asarray(cv2.copyMakeBorder(used.view(np.uint8), *hidden, cv2.BORDER_REPLICATE)).view(np.bool_)
    chosen: Metres = found[used]
    if not chosen.size:  # single measurements may be outside of the lines that show the object
        chosen = depths[mask]
    chosen.sort()
    return chosen


def _variance(side: float, extent: Extent, size: float, hidden: bool) -> float:
    """Return the variance in m² of the middle of an outline along one axis.

    Args:
        side: Width or height of the detector's box in pixels.
        extent: Outline along the axis.
        size: Width or height of the outline in metres.
        hidden: Whether something hides a part of the object.
    """
    pixels = extent.high - extent.low
    shown, told = (CELL_ERROR / INNER * side) ** 2 + PIXEL_ERROR**2, (BOX_ERROR * pixels) ** 2
    seen = sum(extent.seen)
    edges = seen * shown + (2 - seen) * told
    return edges / 4 * (size / pixels) ** 2 + (hidden * HIDDEN_EDGE_ERROR * size) ** 2
