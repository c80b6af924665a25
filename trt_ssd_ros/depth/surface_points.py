"""SurfacePoints: samples of the objects in an image as points, for costmaps; computed only if they are wanted."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from trt_ssd_ros.depth.box_samples import CENTRES, GRID, BoxSamples, Mask
from trt_ssd_ros.depth.camera_model import PinholeCamera
from trt_ssd_ros.depth.depth_samples import Metres


class SurfacePoints:
    """Points on the surfaces of N objects.

    Args:
        samples: Samples of their boxes.
        mask: (N, G, G) samples that show the objects.
        camera: Camera of the depth image.
        most: Largest number of points of an object.
    """

    def __init__(self, samples: BoxSamples, mask: Mask, camera: PinholeCamera, most: int) -> None:
        self._samples = samples
        self._mask = mask
        self._camera = camera
        self._most = most

    def of(self, index: int) -> Metres:
        """Return the points (M, 3) of an object in metres: every k-th sample, so that there are at most `most`."""
        return self._points[index]

    @cached_property
    def _points(self) -> list[Metres]:
        cells = [np.flatnonzero(mask) for mask in self._mask]
        kept = [own[:: -(-len(own) // self._most) or 1] for own in cells]
        box = np.repeat(np.arange(len(kept)), [len(own) for own in kept])
        row, column = np.divmod(np.concatenate(kept), GRID)
        x1, y1, x2, y2 = np.array(self._samples.boxes).T[:, box]
        positions = x1 + (x2 - x1) * CENTRES[column], y1 + (y2 - y1) * CENTRES[row]
        points = np.empty((len(box), 3), np.float32)
        points[:, 2] = self._samples.depths[box, row, column]
        points[:, :2] = self._camera.rays(np.floor(np.stack(positions, axis=1))) * points[:, 2:]
        seen = np.isfinite(points).all(axis=1)  # a fisheye lens also sees to the side, where nothing is measured
        points, box = points[seen], box[seen]
        return np.split(points, np.searchsorted(box, np.arange(1, len(kept))))
