"""Object layer: the samples of a box that show the object.

Objects, background, floor and occluders are layers: ranges of depths. Everything but the object continues beyond
the box. So the object is the layer that fills the centre of the box and is seldom seen around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log

import cv2
import numpy as np

from trt_ssd_ros.depth.box_samples import CENTRES, GRID, INSIDE, Array, BoxSamples, Indices, Mask
from trt_ssd_ros.depth.depth_samples import Metres
from trt_ssd_ros.depth.surroundings import SIDE_CELLS, Surroundings

Range = tuple[float, float]
"""Depths in metres, where a layer begins and where it ends."""

STEP = 0.015
"""Width of a bin of the histograms, in parts of the depth: twice the noise of a depth camera at 4 m."""
WINDOW = 7
"""Bins that are summed when layers are compared: 10 % of the depth."""
FRAME = 7
"""Empty bins that precede and follow the histograms."""
REACH = 45
"""Most bins from the peak of a layer to its end."""
CENTRE_WIDTH = 0.2
"""Standard deviation of a sample's weight about the centre of the box, in widths of the box."""
COST = 6.0
"""Samples of the centre that one sample beside the box outweighs, if the layer is seen on two sides."""
LEAST_SCORE = 0.05
"""Least score of a layer, in parts of its weight: in a row of objects, all layers are seen on two sides."""
SUPPRESSED = 0.05
"""Weight of a sample that continues the surroundings; not 0, for objects between others of their kind."""
FAINT = 0.03
"""Density at which a layer ends, in parts of its peak."""
VALLEY, RISE = 0.5, 2.0
"""A layer ends in a valley below this part of the peak, if the density rises behind it by this factor."""
LEAST_OWN = 0.1
"""Part of a layer that must not continue the surroundings; else the surroundings are objects like this one."""
MAJORITY = 5
"""Samples among the 9 around a sample that must show the object."""
LEAST_INSIDE = 0.7
"""Part of a piece of the layer that must be inside of the box; the main piece is exempt."""

_BELL = np.exp(-0.5 * ((CENTRES - 0.5) / CENTRE_WIDTH) ** 2)
_CENTRE = np.outer(_BELL, _BELL)
_INNER = np.zeros((GRID, GRID))
_INNER[INSIDE, INSIDE] = 1
_WEIGHTS = np.stack([_INNER, SUPPRESSED * _INNER])
_CENTRE_WEIGHTS = _CENTRE * _WEIGHTS / COST  # in samples beside the box
_WINDOW = np.ones(WINDOW)
_LOCAL = np.rint(100 * (_INNER - LEAST_INSIDE)).ravel()
"""Weights whose sum is positive for a piece with enough samples in the box; whole numbers, for exact sums."""
_MAJORITIES = np.full((GRID, GRID), 255, np.uint8)
"""Least number of samples around each sample; out of reach at the edge of the grid, which has fewer neighbours."""
_MAJORITIES[1:-1, 1:-1] = MAJORITY


@dataclass(frozen=True, eq=False)
class ObjectLayer:
    """Samples of the objects in N boxes.

    Attributes:
        mask: (N, G, G) bool, samples of the object; none if the box has no depth.
        ends: N pairs of depths in metres, where the layer begins and ends.
    """

    mask: Mask
    ends: Sequence[Range]


def object_layer(samples: BoxSamples, min_range: float, max_range: float) -> ObjectLayer:
    """Return the samples that show the object of each box.

    Args:
        samples: Samples of N boxes.
        min_range: Least depth in metres.
        max_range: Greatest depth in metres.
    """
    histograms = _Histograms(samples.depths, min_range, max_range)
    surroundings = Surroundings(samples.lines)
    continued = surroundings.slanted_planes()
    seeds, touched = _seeds(histograms, continued)
    continued |= surroundings.continued(touched)
    ends = _ends(histograms.inside(continued, _WEIGHTS).reshape(len(seeds), -1), seeds)
    layers = histograms.between(ends)
    mask = layers > continued  # in the layer, and not continued
    for own, layer in zip(mask, layers, strict=True):
        if np.count_nonzero(own) < LEAST_OWN * np.count_nonzero(layer):
            own[:] = layer
    for own, dense in zip(mask, _dense(mask), strict=True):
        whole = own & _pieces(dense)
        if np.count_nonzero(whole):  # single measurements, e.g. of a lidar, have no neighbours
            own[:] = whole
    return ObjectLayer(mask, histograms.depths_of(ends))


class _Histograms:
    """Histograms of the log depths of N boxes.

    The bins in the range of depths have FRAME empty bins on both sides. The last bin takes what is no depth.
    """

    def __init__(self, depths: Metres, min_range: float, max_range: float) -> None:
        self._origin = log(min_range) - FRAME * STEP
        bins = int((log(max_range) - log(min_range)) / STEP) + 1 + 2 * FRAME
        position = np.log(depths)
        position -= np.float32(self._origin)
        position *= np.float32(1 / STEP)
        valid = (depths >= np.float32(min_range)) & (depths <= np.float32(max_range))
        self._size = len(depths) * (bins + 1)
        np.putmask(position, ~valid, bins)
        self._bin = position.astype(np.int64)
        if len(depths) > 1:
            self._bin += np.arange(0, self._size, bins + 1)[:, None, None]

    def depths_of(self, ends: Sequence[tuple[int, int]]) -> list[Range]:
        """Return the depths in metres at which layers begin and end, from their first and last bins."""
        return [(exp(self._origin + STEP * first), exp(self._origin + STEP * (last + 1))) for first, last in ends]

    def between(self, ends: Sequence[tuple[int, int]]) -> Mask:
        """Return the samples (N, G, G) in the bins of layers, from the first to the last one."""
        shown = np.zeros((len(ends), self._size // len(ends)), np.bool_)
        for bins, (first, last) in zip(shown, ends, strict=True):
            bins[first : last + 1] = True
        return shown.take(self._bin)

    def inside(self, continued: Mask, weights: Array) -> Array:
        """Return the weights (N * B,) of the bins.

        Args:
            continued: (N, G, G) samples that continue the surroundings.
            weights: (2, G, G), of the other samples, and of these.
        """
        chosen = np.where(continued, weights[1], weights[0])
        return np.asarray(np.bincount(self._bin.ravel(), chosen.ravel(), self._size), np.float64)

    def windows(self, continued: Mask) -> Array:
        """Return the weights (5, N, B) of windows by first bin: of the boxes' centres, then of the four sides."""
        end = self._size * (1 + len(SIDE_CELLS))
        cells = self._bin.reshape(len(self._bin), -1).take(SIDE_CELLS, axis=1)
        cells += _sides(self._size)
        # Windows that reach into the next histogram find its FRAME there, and zeros behind the last one.
        counts = np.bincount(cells.ravel(), minlength=end + WINDOW - 1).astype(np.float64)
        counts[: self._size] = self.inside(continued, _CENTRE_WEIGHTS)
        return np.correlate(counts, _WINDOW).reshape(1 + len(SIDE_CELLS), len(self._bin), -1)


@lru_cache(maxsize=64)
def _sides(size: int) -> Indices:
    """Return the first bins (4, OUTER * G) of the histograms that the cells of SIDE_CELLS count in."""
    return np.repeat(size * np.arange(1, 1 + len(SIDE_CELLS)), SIDE_CELLS.shape[1]).reshape(SIDE_CELLS.shape)


def _seeds(histograms: _Histograms, continued: Mask) -> tuple[list[int], list[list[float]]]:
    """Return the middle bins of the windows of depths that score best, and their samples on the four sides.

    A window scores by its weight at the centre of the box. Samples beside the box count against it: those on the
    side with the second most, because a noisy box cuts an object on one side only.
    """
    windows = histograms.windows(continued)
    centre, one, other = windows[0], windows[1:3], windows[3:]
    fewer, more = np.minimum(one, other), np.maximum(one, other)
    beside = np.maximum(np.maximum(fewer[0], fewer[1]), np.minimum(more[0], more[1]))
    scores = np.maximum(centre - beside, LEAST_SCORE * centre)
    ends = FRAME + WINDOW // 2  # no window's middle is in the last FRAME bins, which contain what is no depth
    best = scores[:, :-ends].argmax(axis=-1).tolist()
    touched = [windows[1:, box, first].tolist() for box, first in enumerate(best)]
    return [first + WINDOW // 2 for first in best], touched


def _ends(density: Array, seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last bin of the layer around each seed."""
    pairs = density[:, 1:] + density[:, :-1]
    smooth = pairs[:, 1:] + pairs[:, :-1]  # bin i is in the middle of i, i + 1 and i + 2
    ends = []
    for bins, seed in zip(smooth, seeds, strict=True):
        begin, end = max(seed - 1 - WINDOW // 2, 0), seed + WINDOW // 2
        first = max(begin - REACH, 0)
        near = bins[first : end + REACH].tolist()
        peak = near.index(max(near[begin - first : end - first]), begin - first)
        middle = first + peak + 1
        ends.append((middle - _extent(near[peak::-1]), middle + _extent(near[peak:])))
    return ends


def _extent(density: list[float]) -> int:
    """Return how many bins a layer reaches from its peak, the first bin of the density."""
    peak = lowest = density[0]
    faint, valley = FAINT * peak, VALLEY * peak
    reach = 0
    for step, value in enumerate(density[:REACH]):
        if value < lowest:
            lowest, reach = value, step
        if value < faint or (lowest < valley and value > RISE * lowest):
            break
    return reach


def _dense(own: Mask) -> Mask:
    """Return the places (N, G, G) most of whose neighbours are samples of a mask; none at the edge of the grid."""
    # Sums over lines that follow each other in memory: at the edge of the grid, they mean nothing.
    cells = np.zeros(own.size + 2 * GRID + 2, np.uint8)
    cells[GRID + 1 : -GRID - 1] = own.reshape(-1)
    threes = cells[:-2] + cells[1:-1] + cells[2:]
    nines = threes[: -2 * GRID] + threes[GRID:-GRID] + threes[2 * GRID :]
    dense: Mask = nines.reshape(own.shape) >= _MAJORITIES
    return dense


def _pieces(dense: Mask) -> Mask:
    """Return the samples (G, G) of the main piece of a mask (G, G), and of those inside of the box.

    An occluder may cut an object into pieces. A piece that is mostly beside the box is something else.
    """
    count, labels = cv2.connectedComponents(dense.view(np.uint8), connectivity=8)
    if count <= 2:  # the rest and one piece
        return dense
    piece = np.asarray(labels, np.int64).ravel()
    kept, weight = np.bincount(piece, _LOCAL) > 0, np.bincount(piece, _CENTRE.ravel())
    kept[1 + weight[1:].argmax()], kept[0] = True, False
    return kept.take(piece).reshape(dense.shape)
