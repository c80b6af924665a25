"""Object layer: the samples of a box that show the object.

Objects, background, floor and occluders are layers: ranges of depths. Everything but the object continues beyond
the box. So the object is the layer that fills the centre of the box and is seldom seen around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.box_samples import CENTRES, GRID, INSIDE, Array, BoxSamples, Indices, Mask
from trt_ssd_ros.depth.depth_samples import Metres
from trt_ssd_ros.depth.surroundings import SIDE_CELLS, continues_around, slanted_planes

STEP = 0.015
"""Width of a bin of the histograms, in parts of the depth: twice the noise of a depth camera at 4 m."""
WINDOW = 7
"""Bins that are summed when layers are compared: 10 % of the depth."""
REACH = 45
"""Most bins from the peak of a layer to its end; as many empty bins frame the histograms."""
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


@dataclass(frozen=True, eq=False)
class ObjectLayer:
    """Samples of the objects in N boxes.

    Attributes:
        mask: (N, G, G) bool, samples of the object; none if the box has no depth.
        near: (N,) float64, where the layer begins, in metres.
        far: (N,) float64, where the layer ends, in metres.
    """

    mask: Mask
    near: Array
    far: Array


def object_layer(samples: BoxSamples, min_range: float, max_range: float) -> ObjectLayer:
    """Return the samples that show the object of each box.

    Args:
        samples: Samples of N boxes.
        min_range: Least depth in metres.
        max_range: Greatest depth in metres.
    """
    histograms = _Histograms(samples.depths, min_range, max_range)
    continued = slanted_planes(samples)
    seeds = _seeds(histograms, _weights(continued))
    continued |= continues_around(samples, histograms.between(seeds - WINDOW // 2, seeds + WINDOW // 2))
    low, high = _ends(histograms.inner(_weights(continued)), seeds)
    layer = histograms.between(low, high)
    own = layer & ~continued
    alike = own.sum(axis=(1, 2)) < LEAST_OWN * layer.sum(axis=(1, 2))
    own |= layer & alike[:, None, None]
    whole = own & _coherent(own)
    sparse = ~whole.any(axis=(1, 2))  # single measurements, e.g. of a lidar, have no neighbours
    whole |= own & sparse[:, None, None]
    return ObjectLayer(whole, histograms.depths_of(low), histograms.depths_of(high + 1))


class _Histograms:
    """Histograms of the log depths of N boxes; REACH empty bins precede and follow the range."""

    def __init__(self, depths: Metres, min_range: float, max_range: float) -> None:
        self._origin = log(min_range) - REACH * STEP
        self._bins = int((log(max_range) - log(min_range)) / STEP) + 1 + 2 * REACH
        bins = (np.log(depths) - np.float32(self._origin)) * np.float32(1 / STEP)
        valid = (depths >= min_range) & (depths <= max_range)
        self._bin = np.where(valid, bins, self._bins).astype(np.int64)  # the last bin takes what is no depth
        self._first = ((self._bins + 1) * np.arange(len(depths)))[:, None, None]
        self._bin += self._first

    def depths_of(self, bins: Indices) -> Array:
        """Return the depths in metres at which bins begin."""
        return np.asarray(np.exp(self._origin + bins * STEP))

    def between(self, low: Indices, high: Indices) -> Mask:
        """Return the samples (N, G, G) in bins from low to high (N,)."""
        first, last = self._first + low[:, None, None], self._first + high[:, None, None]
        return np.asarray((self._bin >= first) & (self._bin <= last))

    def inner(self, weights: Array) -> Array:
        """Return the weight (N, B) of each bin inside of the boxes."""
        return self._counts(self._bin[:, INSIDE, INSIDE], weights[:, INSIDE, INSIDE])

    def sides(self) -> Array:
        """Return the number of samples (4, N, B) of each bin beside the boxes, on each side."""
        side = (self._bins + 1) * len(self._bin) * np.arange(len(SIDE_CELLS))[:, None]
        bins = self._bin.reshape(len(self._bin), -1)[:, SIDE_CELLS] + side
        return self._counts(bins, copies=len(SIDE_CELLS)).reshape(len(SIDE_CELLS), len(self._bin), -1)

    def _counts(self, bins: Indices, weights: Array | None = None, copies: int = 1) -> Array:
        size = (copies * len(self._bin), self._bins + 1)
        counts = np.bincount(bins.ravel(), None if weights is None else weights.ravel(), size[0] * size[1])
        return np.asarray(counts.reshape(size)[:, :-1], np.float64)


def _weights(continued: Mask) -> Array:
    return np.where(continued, SUPPRESSED, 1.0)


def _seeds(histograms: _Histograms, weights: Array) -> Indices:
    """Return the middle bin (N,) of the window of depths that scores best.

    A window scores by its weight at the centre of the box. Samples beside the box count against it: those on the
    side with the second most, because a noisy box cuts an object on one side only.
    """
    centre = _windows(histograms.inner(weights * _CENTRE))
    left, right, top, bottom = _windows(histograms.sides())
    fewer = np.maximum(np.minimum(left, right), np.minimum(top, bottom))
    beside = np.maximum(fewer, np.minimum(np.maximum(left, right), np.maximum(top, bottom)))
    scores = np.maximum(centre - COST * beside, LEAST_SCORE * centre)
    return np.asarray(scores.argmax(axis=-1) + WINDOW // 2, np.int64)


def _windows(counts: Array) -> Array:
    """Return the sums (..., B - WINDOW + 1) of WINDOW neighbouring bins (..., B)."""
    sums = np.cumsum(counts, axis=-1)
    sums[..., WINDOW:] -= sums[..., :-WINDOW].copy()
    return sums[..., WINDOW - 1 :]


def _ends(density: Array, seeds: Indices) -> tuple[Indices, Indices]:
    """Return the first and last bin (N,) of the layers around bins (N,)."""
    smooth = density.copy()
    smooth[:, 1:-1] = (density[:, :-2] + 2 * density[:, 1:-1] + density[:, 2:]) / 4
    box = np.arange(len(seeds))
    window = seeds[:, None] + np.arange(-(WINDOW // 2), WINDOW // 2 + 1)
    peaks = window[box, smooth[box[:, None], window].argmax(axis=1)]
    steps = np.arange(REACH)
    below, above = (smooth[box[:, None], peaks[:, None] + sign * steps] for sign in (-1, 1))
    return peaks - _extent(below), peaks + _extent(above)


def _extent(density: Array) -> Indices:
    """Return how many bins (N,) a layer reaches from its peak, the first bin of (N, REACH)."""
    peak, lowest = density[:, :1], np.minimum.accumulate(density, axis=1)
    ended = (density < FAINT * peak) | ((density > RISE * lowest) & (lowest < VALLEY * peak))
    ended[:, -1] = True
    behind = np.arange(REACH) > ended.argmax(axis=1)[:, None]
    return np.asarray(np.where(behind, np.inf, density).argmin(axis=1), np.int64)


def _coherent(own: Mask) -> NDArray[np.bool_]:
    """Return the samples (N, G, G) in pieces without speckles: the main piece, and those inside of the box.

    An occluder may cut an object into pieces. A piece that is mostly beside the box is something else.
    """
    labels, count = _pieces(own)
    size = np.bincount(labels.ravel(), minlength=count)
    inside = np.bincount(labels[:, INSIDE, INSIDE].ravel(), minlength=count)
    kept = inside > LEAST_INSIDE * size
    weight = np.bincount(labels.ravel(), np.broadcast_to(_CENTRE, labels.shape).ravel(), count)
    box = np.zeros(count, np.int64)
    box[labels.ravel()] = np.repeat(np.arange(len(own)), GRID * GRID)
    by_weight = np.argsort(weight[1:], kind="stable") + 1
    main = np.zeros(len(own), np.int64)
    main[box[by_weight]] = by_weight  # of several pieces of a box, the heaviest is written last
    kept[main], kept[0] = True, False
    return np.asarray(kept[labels])


def _pieces(own: Mask) -> tuple[NDArray[np.int32], int]:
    """Return the number (N, G, G) of the connected piece of each sample, 0 for none, and the number of pieces.

    The grids are stacked into one image for OpenCV, an empty row between two of them.
    """
    stack = np.zeros((len(own), GRID + 1, GRID), np.uint8)
    stack[:, 1:-2, 1:-1] = _neighbours(own) >= MAJORITY
    count, labels = cv2.connectedComponents(stack.reshape(-1, GRID), connectivity=8)
    return np.asarray(labels, np.int32).reshape(stack.shape)[:, :GRID], count


def _neighbours(own: Mask) -> NDArray[np.uint8]:
    """Return how many of the 9 samples around each sample are the object's, (N, G - 2, G - 2)."""
    samples = own.view(np.uint8)
    rows = samples[:, :-2] + samples[:, 1:-1] + samples[:, 2:]
    return np.asarray(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:])
