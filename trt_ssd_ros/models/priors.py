"""Prior boxes of the SSD families and the decoding of raw heads.

Prior boxes are (A, 4) float32 rows of centre x, centre y, width, height, normalised to the network's input. Their
order is that of the networks' outputs: by feature map, row, cell and shape.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.yaml_reader import require

Priors = NDArray[np.float32]
MAX_PRIORS = 1_000_000
"""Most prior boxes of one feature map, ten times those of any known network, so that no card fills the memory."""
MAX_PRIOR_LIST = 64
"""Most numbers in a field of a prior generator."""
MAX_PRIOR_NUMBER = 8192
"""Highest number in a field of a prior generator: cells, or pixels from one cell to the next."""
MAX_LEVEL = 13
"""Highest pyramid level, whose cells are MAX_PRIOR_NUMBER pixels wide."""


@dataclass(frozen=True)
class SsdAnchorGenerator:
    """Grid of TF Object Detection API's ssd_anchor_generator (multiple_grid_anchor_generator.py).

    Attributes:
        feature_maps: Cells along each side of each feature map, largest map first.
        min_scale: Box scale of the first map, relative to the shorter side of the input.
        max_scale: Box scale of the last map; scales of the other maps are spaced evenly.
        aspect_ratios: Width / height of the boxes of every map.
        interpolated_ratio: Aspect ratio of one more box per cell, whose scale is the geometric mean of the scales
            of this map and the next; 0 for none.
        reduce_lowest: Whether the first map has only the shapes (scale 0.1, ratio 1), (s, 2), (s, 0.5).
        interpolated: Position of the box of the interpolated ratio in its cell: second in networks of 2017, else
            last.
    """

    feature_maps: Sequence[int]
    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: Sequence[float] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    interpolated_ratio: float = 1.0
    reduce_lowest: bool = True
    interpolated: Literal["second", "last"] = "last"

    def __post_init__(self) -> None:
        _require_numbers(self, may_be_0=("interpolated_ratio", "reduce_lowest"))

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
            position = 1 if self.interpolated == "second" else len(shapes)
            shapes.insert(position, ((scale * next_scale) ** 0.5, self.interpolated_ratio))
        return shapes


@dataclass(frozen=True)
class MultiscaleAnchorGenerator:
    """Grid of TF Object Detection API's multiscale_anchor_generator, which its FPN models use.

    Attributes:
        min_level: Pyramid level of the largest map; cells of a level are 2^level pixels wide.
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

    def __post_init__(self) -> None:
        _require_numbers(self, may_be_0=("min_level",))
        least, most = self.min_level, self.max_level
        require(most >= least, "max_level", most, f"{least} (min_level) or more")
        require(most <= MAX_LEVEL, "max_level", most, f"at most {MAX_LEVEL}")

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


@dataclass(frozen=True)
class DefaultBoxGenerator:
    """Default boxes of the SSD paper, in the order of Caffe, PyTorch's SSDs and torchvision.

    A cell has a square of the map's scale, a square of the geometric mean of this scale and the next, and for each
    ratio r a box of width / height r and one of 1 / r. The generator is called DefaultBoxGenerator in torchvision
    (models/detection/anchor_utils.py), PriorBox in Caffe (min_size is a scale in pixels, max_size the next one),
    generate_ssd_priors in pytorch-ssd, and AnchorBoxes in TAO.

    Attributes:
        feature_maps: Rows and columns of each feature map, largest map first.
        scales: Box scale of each map, then one more for the geometric mean of the last map.
        aspect_ratios: Width / height ratios above 1 of each map; each one also adds its inverse.
        steps: Pixels from one cell to the next in each map; empty if cells divide the input evenly.
        scale_of: Side that scales are relative to: each_side of the input, or the shorter_side for both.
        clip: Whether boxes are limited to the size of the input.
    """

    feature_maps: Sequence[tuple[int, int]]
    scales: Sequence[float]
    aspect_ratios: Sequence[Sequence[float]]
    steps: Sequence[float] = ()
    scale_of: Literal["each_side", "shorter_side"] = "each_side"
    clip: bool = True

    def __post_init__(self) -> None:
        _require_numbers(self, may_be_0=("clip",), may_be_empty=("steps",))
        maps = len(self.feature_maps)
        _require_length("scales", self.scales, maps + 1, "one for each of feature_maps and one more")
        _require_length("aspect_ratios", self.aspect_ratios, maps, "a list for each of feature_maps")
        _require_length("steps", self.steps or [0] * maps, maps, "one for each of feature_maps, or none at all")

    def priors(self, height: int, width: int) -> Priors:
        """Return the prior boxes (A, 4) for a network input of height x width pixels."""
        grids = []
        for layer, (rows, columns) in enumerate(self.feature_maps):
            cells = (height / self.steps[layer], width / self.steps[layer]) if self.steps else (rows, columns)
            y_centres, x_centres = ((np.arange(n) + 0.5) / m for n, m in zip((rows, columns), cells, strict=True))
            grids.append(_grid(y_centres, x_centres, self._shapes(layer, height, width)))
        return np.concatenate(grids)

    def _shapes(self, layer: int, height: int, width: int) -> NDArray[np.float64]:
        scale, next_scale = self.scales[layer : layer + 2]
        shapes = [(scale, scale), ((scale * next_scale) ** 0.5,) * 2]
        for ratio in self.aspect_ratios[layer]:
            wide, narrow = scale * ratio**0.5, scale / ratio**0.5
            shapes += [(wide, narrow), (narrow, wide)]
        if self.scale_of == "shorter_side":
            shapes = [(w * min(height, width) / width, h * min(height, width) / height) for w, h in shapes]
        return np.minimum(shapes, 1) if self.clip else np.array(shapes)


PriorGenerator = SsdAnchorGenerator | MultiscaleAnchorGenerator | DefaultBoxGenerator

PRIOR_GENERATORS: Mapping[str, type[PriorGenerator]] = {
    "ssd_anchor_generator": SsdAnchorGenerator,
    "multiscale_anchor_generator": MultiscaleAnchorGenerator,
    "default_box_generator": DefaultBoxGenerator,
}


def decode_boxes(
    encoded: NDArray[Any], priors: NDArray[Any], box_scales: Sequence[float], box_order: str
) -> NDArray[Any]:
    """Decode raw heads to corners (Liu et al. 2016, SSD: Single Shot MultiBox Detector, section 2.2).

    Args:
        encoded: Boxes (A, 4): centre offsets relative to the prior box size, and logarithms of the size ratio.
        priors: Prior boxes (A, 4) of centre x, centre y, width, height.
        box_scales: The box coder's four divisors, in `box_order`.
        box_order: Order of the four encoded numbers: xywh or yxhw.

    Returns:
        Corners (A, 4) x1 y1 x2 y2, in the unit of the prior boxes.
    """
    scaled = encoded / np.asarray(box_scales, encoded.dtype)
    x, y, w, h = (box_order.index(letter) for letter in "xywh")
    centre = scaled[:, [x, y]] * priors[:, 2:] + priors[:, :2]
    half = np.exp(scaled[:, [w, h]]) * priors[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _require_numbers(
    generator: object, may_be_0: Collection[str] = (), may_be_empty: Collection[str] = ()
) -> None:
    """Check the numbers of a generator: above 0, or at least 0 for fields in `may_be_0`."""
    for name, found in vars(generator).items():
        if isinstance(found, str) or (name in may_be_empty and not found):
            continue
        numbers = list(_flat(found))
        lowest, most = min(numbers, default=0), max(numbers, default=0)
        require(len(numbers) <= MAX_PRIOR_LIST, name, f"{len(numbers)} numbers", f"at most {MAX_PRIOR_LIST}")
        require(most <= MAX_PRIOR_NUMBER, name, most, f"at most {MAX_PRIOR_NUMBER}")
        if name in may_be_0:
            require(lowest >= 0, name, found, "0 or more")
        else:
            require(lowest > 0, name, found, "numbers above 0")


def _flat(numbers: Any) -> Iterator[float]:
    if isinstance(numbers, Sequence):
        for item in numbers:
            yield from _flat(item)
    else:
        yield numbers


def _require_length(name: str, found: Sequence[object], expected: int, meaning: str) -> None:
    require(len(found) == expected, name, f"{len(found)} values", f"{expected}: {meaning}")


def _level_centres(size: int, stride: int) -> NDArray[np.float64]:
    """Return the normalised cell centres (n,) along one side of `size` pixels."""
    # As in TF Object Detection API: no offset if the stride does not divide the side.
    offset = stride / 2 if size % stride == 0 else 0
    return (np.arange(-(-size // stride)) * stride + offset) / size


def _grid(
    y_centres: NDArray[np.float64],
    x_centres: NDArray[np.float64],
    shapes: Iterable[tuple[float, float]] | NDArray[np.float64],
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
