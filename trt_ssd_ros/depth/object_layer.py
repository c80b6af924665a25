"""Object layer: the samples of a box that show the object.

Objects, background, floor and occluders are layers: ranges of depths. Everything but the object continues beyond
the box. So the object is the layer that fills the centre of the box and is seldom seen around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.depth.box_samples import CENTRES, GRID, INSIDE, Array, BoxSamples, Indices, Mask
from trt_ssd_ros.depth.depth_samples import Metres
from trt_ssd_ros.depth.surroundings import SIDE_CELLS, Surroundings

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
_SIDES = np.arange(len(SIDE_CELLS))[:, None]
_CENTRE = np.outer(_BELL, _BELL)
_INNER = np.zeros((GRID, GRID))
_INNER[INSIDE, INSIDE] = 1
_WEIGHTS = np.stack([_INNER, SUPPRESSED * _INNER])
_CENTRE_WEIGHTS = _CENTRE * _WEIGHTS
_NEIGHBOURED = np.zeros((GRID, GRID), np.bool_)
_NEIGHBOURED[1:-1, 1:-1] = True


@dataclass(frozen=True, eq=False)
class ObjectLayer:
    """Samples of the objects in N boxes.

    Attributes:
        mask: (N, G, G) bool, samples of the object; none if the box has no depth.
        ends: (N, 2) float64 in metres, where the layer begins and ends.
    """

    mask: Mask
    ends: Array


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
    ends = _ends(histograms.inside(continued, _WEIGHTS)[0], seeds)
    layers = histograms.between(ends)
    mask = layers & ~continued
    for own, layer in zip(mask, layers, strict=True):
        own[:] = _object(own, layer)
    return ObjectLayer(mask, histograms.depths_of(ends))


class _Histograms:
    """Histograms of the log depths of N boxes.

    The bins in the range of depths have FRAME empty bins on both sides. The last bin takes what is no depth.
    """

    def __init__(self, depths: Metres, min_range: float, max_range: float) -> None:
        self._origin = log(min_range) - FRAME * STEP
        bins = int((log(max_range) - log(min_range)) / STEP) + 1 + 2 * FRAME
        position = (np.log(depths) - np.float32(self._origin)) * np.float32(1 / STEP)
        valid = (depths >= np.float32(min_range)) & (depths <= np.float32(max_range))
        self._size = len(depths) * (bins + 1)
        self._first = np.arange(0, self._size, bins + 1)[:, None, None]
        np.putmask(position, ~valid, bins)
        self._bin = position.astype(np.int64) + self._first

    def depths_of(self, ends: Sequence[tuple[int, int]]) -> Array:
        """Return the depths (N, 2) in metres at which layers begin and end, from their first and last bins."""
        return np.array([[exp(self._origin + STEP * at) for at in (first, last + 1)] for first, last in ends])

    def between(self, ends: Sequence[tuple[int, int]]) -> Mask:
        """Return the samples (N, G, G) in the bins of layers, from the first to the last one."""
        first, last = self._first + np.array(ends).T[..., None, None]
        mask: Mask = (self._bin >= first) & (self._bin <= last)
        return mask

    def inside(self, continued: Mask, weights: Array) -> Array:
        """Return the weight (1, N, B) of each bin.

        Args:
            continued: (N, G, G) samples that continue the surroundings.
            weights: (2, G, G), of the other samples, and of these.
        """
        chosen = np.where(continued, weights[1], weights[0])
        return self._table(np.bincount(self._bin.ravel(), chosen.ravel(), self._size))

    def sides(self) -> Array:
        """Return the number of samples (4, N, B) of each bin beside the boxes, on each side."""
        bins = self._bin.reshape(len(self._bin), -1).take(SIDE_CELLS, axis=1) + self._size * _SIDES
        return self._table(np.bincount(bins.ravel(), minlength=self._size * len(_SIDES)))

    def _table(self, counts: NDArray[Any]) -> Array:
        return counts.reshape(len(counts) // self._size, len(self._bin), -1)


def _seeds(histograms: _Histograms, continued: Mask) -> tuple[Indices, Array]:
    """Return the middle bin (N,) of the window of depths that scores best, and its samples on each side (4, N).

    A window scores by its weight at the centre of the box. Samples beside the box count against it: those on the
    side with the second most, because a noisy box cuts an object on one side only.
    """
    counts = np.concatenate([histograms.inside(continued, _CENTRE_WEIGHTS), histograms.sides()])
    rows = counts.reshape(-1, counts.shape[-1])
    sums = cv2.boxFilter(rows, -1, (WINDOW, 1), normalize=False, borderType=cv2.BORDER_CONSTANT)
    windows = np.asarray(sums, np.float64).reshape(counts.shape)
    centre, one, other = windows[0], windows[1:3], windows[3:]
    fewer, more = np.minimum(one, other), np.maximum(one, other)
    beside = np.maximum(np.maximum(fewer[0], fewer[1]), np.minimum(more[0], more[1]))
    scores = np.maximum(centre - COST * beside, LEAST_SCORE * centre)
    seeds: Indices = scores[:, :-FRAME].argmax(axis=-1)
    first = np.arange(0, centre.size, centre.shape[1])
    return seeds, windows.reshape(len(windows), -1).take(first + seeds, axis=1)[1:]


def _ends(density: Array, seeds: Indices) -> list[tuple[int, int]]:
    """Return the first and last bin of the layer around each seed."""
    pairs = density[:, 1:] + density[:, :-1]
    smooth = pairs[:, 1:] + pairs[:, :-1]  # bin i is in the middle of i, i + 1 and i + 2
    ends = []
    for bins, seed in zip(smooth, seeds.tolist(), strict=True):
        first = max(seed - 1 - WINDOW // 2, 0)
        peak = first + int(bins[first : seed + WINDOW // 2].argmax())
        below, above = bins[max(peak - REACH + 1, 0) : peak + 1][::-1], bins[peak : peak + REACH]
        ends.append((peak + 1 - _extent(below.tolist()), peak + 1 + _extent(above.tolist())))
    return ends


def _extent(density: list[float]) -> int:
    """Return how many bins a layer reaches from its peak, the first bin of the density."""
    peak = lowest = density[0]
    reach = 0
    for step, value in enumerate(density):
        if value < lowest:
            lowest, reach = value, step
        if value < FAINT * peak or (value > RISE * lowest and lowest < VALLEY * peak):
            break
    return reach


def _object(own: Mask, layer: Mask) -> Mask:
    """Return the samples (G, G) of the object of one box.

    Args:
        own: (G, G) samples of the layer that do not continue the surroundings.
        layer: (G, G) samples of the layer.
    """
    if np.count_nonzero(own) < LEAST_OWN * np.count_nonzero(layer):
        own = layer
    whole = own & _coherent(own)
    return whole if whole.any() else own  # single measurements, e.g. of a lidar, have no neighbours


def _coherent(own: Mask) -> Mask:
    """Return the samples (G, G) in pieces without speckles: the main piece, and those inside of the box.

    An occluder may cut an object into pieces. A piece that is mostly beside the box is something else.
    """
    neighbours = cv2.boxFilter(own.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    dense: Mask = (neighbours >= MAJORITY) & _NEIGHBOURED
    count, labels = cv2.connectedComponents(dense.view(np.uint8), connectivity=8)
    if count <= 2:  # the rest and one piece
        return dense
    piece = labels.ravel()
    size, inside, weight = (np.bincount(piece, part) for part in (None, _INNER.ravel(), _CENTRE.ravel()))
    kept = inside > LEAST_INSIDE * size
    kept[1 + weight[1:].argmax()], kept[0] = True, False
    return np.asarray(kept.take(np.asarray(labels, np.int32)))
