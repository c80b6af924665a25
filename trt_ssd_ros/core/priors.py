"""Prior boxes of the SSD families: (A, 4) float32 rows of centre x, centre y, width, height.

All are normalised to the network's input and stand in the order in which the networks emit their boxes:
feature map by feature map, row by row, cell by cell, shape by shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Priors = NDArray[np.float32]
MAX_PRIORS = 1_000_000
"""Prior boxes of one feature map, ten times those of any network known: a card is not to fill the memory."""


@dataclass(frozen=True)
class SsdAnchorGenerator:
    """The grid of TF Object Detection API's ssd_anchor_generator (multiple_grid_anchor_generator.py).

    Attributes:
        feature_maps: Cells along each side of each feature map, largest map first.
        min_scale: Box scale of the first map, relative to the shorter side of the input.
        max_scale: Box scale of the last map; those between are spaced evenly.
        aspect_ratios: Width / height of the boxes of every map.
        interpolated_ratio: Aspect ratio of one more box per cell whose scale is the geometric mean of
            this map's and the next one's; 0 for none.
        reduce_lowest: The first map has only the shapes (scale .1, ratio 1), (s, 2), (s, .5).
    """

    feature_maps: Sequence[int]
    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: Sequence[float] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    interpolated_ratio: float = 1.0
    reduce_lowest: bool = True

    def priors(self, height: int, width: int) -> Priors:
        """Return the prior boxes (A, 4) for a network input of height x width pixels."""
        side = min(height, width)
        scales = [*np.linspace(self.min_scale, self.max_scale, len(self.feature_maps)), 1.0]
        grids = []
        for layer, (cells, (scale, next_scale)) in enumerate(
            zip(self.feature_maps, pairwise(scales), strict=True)
        ):
            shapes = [
                (scale * side / width * ratio**0.5, scale * side / height / ratio**0.5)
                for scale, ratio in self._shapes(layer, scale, next_scale)
            ]
            grids.append(_grid((np.arange(cells) + 0.5) / cells, (np.arange(cells) + 0.5) / cells, shapes))
        return np.concatenate(grids)

    def _shapes(self, layer: int, scale: float, next_scale: float) -> list[tuple[float, float]]:
        if layer == 0 and self.reduce_lowest:
            return [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        shapes = [(scale, ratio) for ratio in self.aspect_ratios]
        if self.interpolated_ratio > 0:
            shapes.append(((scale * next_scale) ** 0.5, self.interpolated_ratio))
        return shapes


@dataclass(frozen=True)
class MultiscaleAnchorGenerator:
    """The grid of TF Object Detection API's multiscale_anchor_generator, used by its FPN models.

    Attributes:
        min_level: Pyramid level of the largest map; its cells are 2^level pixels wide.
        max_level: Pyramid level of the smallest map.
        anchor_scale: Box side in cells.
        aspect_ratios: Width / height of the boxes of every map.
        scales_per_octave: Box sizes per ratio, spaced evenly in the exponent between 1 and 2.
    """

    min_level: int = 3
    max_level: int = 7
    anchor_scale: float = 4.0
    aspect_ratios: Sequence[float] = field(default=(1.0, 2.0, 0.5))
    scales_per_octave: int = 2

    def priors(self, height: int, width: int) -> Priors:
        """Return the prior boxes (A, 4) for a network input of height x width pixels."""
        grids = []
        for level in range(self.min_level, self.max_level + 1):
            stride = 2**level
            sizes = [
                self.anchor_scale * stride * 2 ** (octave / self.scales_per_octave)
                for octave in range(self.scales_per_octave)
            ]
            shapes = [
                (size * ratio**0.5 / width, size / ratio**0.5 / height)
                for ratio in self.aspect_ratios
                for size in sizes
            ]
            grids.append(_grid(_level_centres(height, stride), _level_centres(width, stride), shapes))
        return np.concatenate(grids)


PriorGenerator = SsdAnchorGenerator | MultiscaleAnchorGenerator


def _level_centres(size: int, stride: int) -> NDArray[np.float64]:
    """Return the normalised cell centres along one side; the API puts no offset where the stride leaves a rest."""
    offset = stride / 2 if size % stride == 0 else 0
    return (np.arange(-(-size // stride)) * stride + offset) / size


def _grid(
    y_centres: NDArray[np.float64], x_centres: NDArray[np.float64], shapes: Iterable[tuple[float, float]]
) -> Priors:
    sizes = np.array(list(shapes))
    count = len(y_centres) * len(x_centres) * len(sizes)
    if count > MAX_PRIORS:
        raise ValueError(f"priors: found {count} boxes on one feature map, expected at most {MAX_PRIORS}")
    grid = np.empty((len(y_centres), len(x_centres), len(sizes), 4), np.float32)
    grid[..., 0] = x_centres[None, :, None]
    grid[..., 1] = y_centres[:, None, None]
    grid[..., 2:] = sizes
    return grid.reshape(-1, 4)
