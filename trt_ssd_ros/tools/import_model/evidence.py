"""Evidence on raw heads: families' prior boxes against the heads' cells and the network's own corners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.models.priors import PriorGenerator, Priors, decode_boxes
from trt_ssd_ros.tools.import_model.box_form import are_corners, are_pixels, corner_order
from trt_ssd_ros.tools.import_model.cells import HeadCells, head_cells, needed_for_cells
from trt_ssd_ros.tools.import_model.families import BOX_SCALES, FAMILIES, SsdFamily
from trt_ssd_ros.tools.import_model.heads import Heads, usable
from trt_ssd_ros.tools.import_model.image_tensor import Size
from trt_ssd_ros.tools.import_model.probe import PhotoProbe

CORNER_TOLERANCE = 2e-3
"""Largest difference, in image sides, between corners that are decoded with the same prior boxes."""
MIN_AGREEMENT = 0.98
"""Lowest share of coordinates within the tolerance; less than 1, as some families limit the size of a box."""
DECODING_OPERATORS = {
    *("Concat", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Clip", "Min", "Max"),
    *("Mul", "Div", "Add", "Sub", "Where", "Cast", "Identity", "ScatterND"),
}
"""Operators that the decoding of boxes may end in."""


@dataclass(frozen=True)
class HeadEvidence:
    """Evidence of a graph on a pair of raw heads.

    Attributes:
        generators: Prior generators by family that match in number and cells, and decode to the network's own
            corners if it has any; no family without a match.
        cells: Feature map and cell of each row of boxes; None if unknown.
        score_cells: Feature map and cell of each row of scores; None if unknown.
        corners: Name of the tensor of boxes that the network itself decodes, and clips if it does; "" if none.
        clips: Whether the network clips its corners to the image; None if it decodes no boxes.
    """

    generators: Mapping[str, Sequence[PriorGenerator]]
    cells: HeadCells | None
    score_cells: HeadCells | None
    corners: str
    clips: bool | None

    @property
    def families(self) -> list[str]:
        """Names of the families that match."""
        return list(self.generators)


def judge_heads(probe: PhotoProbe, heads: Heads, encoded: NDArray[Any], size: Size) -> HeadEvidence:
    """Compare raw heads with the prior boxes of every family.

    Args:
        probe: Network that runs on a photo.
        heads: Pair of raw heads.
        encoded: Box encodings for the photo, A x 4 values in any shape.
        size: Height and width in pixels of the image that the first convolution reads.
    """
    count = encoded.size // 4
    cells, score_cells = (cells_of(probe, tensor, count) for tensor in (heads.boxes, heads.scores))
    own = own_corners(probe, heads.boxes, count)
    corners = {name: normalised(rows, cells, size) for name, rows in own}
    order = cells.order if cells else np.arange(count)
    rows, shown = as_rows(encoded)[order], [value[order] for value in corners.values()]
    known = [item for item in (cells, score_cells) if item is not None]
    matching = {
        name: [
            generator
            for generator in family.generators_of(count, *size)
            if all(item.fits(generator.priors(*size)) for item in known)
            and (not shown or decodes_to(family, generator.priors(*size), rows, shown))
        ]
        for name, family in FAMILIES.items()
    }
    generators = {name: found for name, found in matching.items() if found}
    return HeadEvidence(generators, cells, score_cells, *last_clipped(corners))


def cells_of(probe: PhotoProbe, tensor: str, count: int) -> HeadCells | None:
    """Return the feature map and cell of each of `count` rows of a head; None if unknown."""
    return head_cells(probe.graph, tensor, count, probe.values(needed_for_cells(probe.graph, [tensor])))


def own_corners(probe: PhotoProbe, boxes: str, count: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the names of the tensors of boxes that the network decodes, with their corners (A, 4)."""
    graph = probe.graph
    behind = [graph.nodes[index] for index in sorted(graph.after([boxes]))]
    likely = [name for node in behind if node.op_type in DECODING_OPERATORS for name in node.output]
    for name, value in probe.values([name for name in probe.of_image(likely) if usable(graph, (name,))]).items():
        if value.dtype.kind == "f" and value.size == count * 4 and 4 in value.shape:
            rows = as_rows(value)
            if are_corners(rows):
                yield name, rows


def last_clipped(corners: Mapping[str, NDArray[np.float64]]) -> tuple[str, bool | None]:
    """Return the last tensor that equals the first or its clipped corners, and whether corners are clipped."""
    last, clips = "", None
    for name, rows in corners.items():
        last, clips = last or name, bool(clips)
        lowest, highest = rows.min(axis=0), rows.max(axis=0)
        if np.allclose(rows, corners[last].clip(lowest, highest), atol=1e-4):
            clips = clips or not np.allclose(rows, corners[last], atol=1e-4)
            last = name
    return last, clips


def normalised(corners: NDArray[np.float64], cells: HeadCells | None, size: Size) -> NDArray[np.float64]:
    """Return corners (A, 4) in image sides, as x1 y1 x2 y2; if the order is unknown, keep it."""
    order = corner_order(corners, cells.centres()) if cells else None
    sides = np.tile(size if order == "yxyx" else size[::-1], 2) if are_pixels(corners) else np.ones(4)
    rows = corners / sides
    return rows[:, [1, 0, 3, 2]] if order == "yxyx" else rows


def as_rows(value: NDArray[Any], columns: int = 4) -> NDArray[np.float64]:
    """Return the values of each box as rows (A, columns), from any axis order."""
    sizes = [size for size in value.shape if size != 1]
    table = value.reshape(sizes) if len(sizes) == 2 else value.reshape(-1, columns)
    return (table.T if table.shape[1] != columns else table).astype(np.float64)


def decodes_to(
    family: SsdFamily, priors: Priors, encoded: NDArray[np.float64], shown: Sequence[NDArray[np.float64]]
) -> bool:
    """Return whether a family decodes boxes to corners of the network, as xyxy or yxyx."""
    with np.errstate(over="ignore"):  # the photo is only roughly normalised
        decoded = decode_boxes(encoded, priors, BOX_SCALES, family.box_order)
    return any(_agree(corners[:, order], decoded) for corners in shown for order in ([0, 1, 2, 3], [1, 0, 3, 2]))


def _agree(corners: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Return whether corners agree inside the image; outside of it, some networks clip them."""
    inside = ((corners > 0) & (corners < 1)) | ((others > 0) & (others < 1))
    alike = np.abs(corners.clip(0, 1) - others.clip(0, 1))[inside] < CORNER_TOLERANCE
    return len(alike) > len(corners) // 10 and bool(np.mean(alike) > MIN_AGREEMENT)
