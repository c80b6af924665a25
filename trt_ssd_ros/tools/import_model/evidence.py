"""Judge a pair of raw heads: compare families' prior boxes with its cells and with the network's own corners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.models.priors import Priors, decode_boxes
from trt_ssd_ros.tools.import_model.box_form import along_cells, are_corners, are_pixels
from trt_ssd_ros.tools.import_model.cells import HeadCells, head_cells, needed_for_cells
from trt_ssd_ros.tools.import_model.families import BOX_SCALES, FAMILIES, SsdFamily
from trt_ssd_ros.tools.import_model.heads import Heads, usable
from trt_ssd_ros.tools.import_model.image_tensor import Size
from trt_ssd_ros.tools.import_model.probe import PhotoProbe

AGREE = 2e-3
"""Largest difference, in image sides, of corners that are decoded with the same prior boxes."""
AGREEING = 0.98
"""Share of corners that agree; some families bound the growth of a box."""
MAKE_CORNERS = {
    *("Concat", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Clip", "Min", "Max"),
    *("Mul", "Div", "Add", "Sub", "Where", "Cast", "Identity", "ScatterND"),
}
"""Operators that decoding may end in."""


@dataclass(frozen=True)
class HeadEvidence:
    """Evidence of a graph on a pair of raw heads.

    Attributes:
        families: Those whose prior boxes are as many, lie in the same cells, and decode to the network's own
            corners where it makes some.
        cells: Where the rows of boxes come from; None where that cannot be told.
        score_cells: The same of the scores.
        corners: The tensor in which the network itself decodes the boxes, after it moved them onto the image's
            border if it does; "" if there is none.
        clips: Whether it does; None if it does not show corners.
    """

    families: tuple[str, ...]
    cells: HeadCells | None
    score_cells: HeadCells | None
    corners: str
    clips: bool | None


def judge_heads(probe: PhotoProbe, heads: Heads, encoded: NDArray[Any], size: Size) -> HeadEvidence:
    """Judge raw heads by what the network is for a photo.

    Args:
        probe: The network.
        heads: The pair.
        encoded: The value of their boxes.
        size: Height and width of the image that the first convolution reads.
    """
    count = encoded.size // 4
    cells, score_cells = (cells_of(probe, tensor, count) for tensor in (heads.boxes, heads.scores))
    own = own_corners(probe, heads.boxes, count)
    corners = {name: normalised(rows, cells, size) for name, rows in own}
    order = cells.order if cells else np.arange(count)
    rows, shown = as_rows(encoded)[order], [value[order] for value in corners.values()]
    known = [item for item in (cells, score_cells) if item is not None]
    families = [
        name
        for name, family in FAMILIES.items()
        for generator in [family.generator(*size, count)]
        if generator is not None
        and all(item.fits(generator.priors(*size)) for item in known)
        and (not shown or decodes_to(family, generator.priors(*size), rows, shown))
    ]
    return HeadEvidence(tuple(families), cells, score_cells, *last_clipped(corners))


def cells_of(probe: PhotoProbe, tensor: str, count: int) -> HeadCells | None:
    """Return where the rows of a head come from, None if that cannot be told."""
    return head_cells(probe.graph, tensor, count, probe.values(needed_for_cells(probe.graph, [tensor])))


def own_corners(probe: PhotoProbe, boxes: str, count: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the tensors in which the network decodes its boxes, with their values as rows (A, 4)."""
    graph = probe.graph
    behind = [graph.nodes[index] for index in sorted(graph.after([boxes]))]
    likely = [name for node in behind if node.op_type in MAKE_CORNERS for name in node.output]
    for name, value in probe.values([name for name in probe.of_image(likely) if usable(graph, (name,))]).items():
        if value.dtype.kind == "f" and value.size == count * 4 and 4 in value.shape:
            rows = as_rows(value)
            if are_corners(rows):
                yield name, rows


def last_clipped(corners: Mapping[str, NDArray[np.float64]]) -> tuple[str, bool | None]:
    """Return the last tensor of normalised corners that is the first, on the border or not, and whether it is."""
    last, clips = "", None
    for name, rows in corners.items():
        last, clips = last or name, bool(clips)
        lowest, highest = rows.min(axis=0), rows.max(axis=0)
        if np.allclose(rows, corners[last].clip(lowest, highest), atol=1e-4):
            clips = clips or not np.allclose(rows, corners[last], atol=1e-4)
            last = name
    return last, clips


def normalised(corners: NDArray[np.float64], cells: HeadCells | None, size: Size) -> NDArray[np.float64]:
    """Return corners of any unit and order as x1 y1 x2 y2 in image sides; an order that nothing tells is left."""
    order = along_cells(corners, cells.centres()) if cells else None
    sides = np.tile(size if order == "yxyx" else size[::-1], 2) if are_pixels(corners) else np.ones(4)
    rows = corners / sides
    return rows[:, [1, 0, 3, 2]] if order == "yxyx" else rows


def as_rows(value: NDArray[Any], columns: int = 4) -> NDArray[np.float64]:
    """Return numbers of each box as rows (A, columns), whichever axis they are on."""
    sizes = [size for size in value.shape if size != 1]
    table = value.reshape(sizes) if len(sizes) == 2 else value.reshape(-1, columns)
    return (table.T if table.shape[1] != columns else table).astype(np.float64)


def decodes_to(
    family: SsdFamily, priors: Priors, encoded: NDArray[np.float64], shown: Sequence[NDArray[np.float64]]
) -> bool:
    """Tell whether a family's decoding of boxes gives corners that the network shows, in either order."""
    with np.errstate(over="ignore"):  # of a photo that is only roughly normalised
        decoded = decode_boxes(encoded, priors, BOX_SCALES, family.box_order)
    return any(_agree(corners[:, order], decoded) for corners in shown for order in ([0, 1, 2, 3], [1, 0, 3, 2]))


def _agree(corners: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Tell whether corners are the same wherever either are inside of the image; some networks clip them."""
    inside = ((corners > 0) & (corners < 1)) | ((others > 0) & (others < 1))
    alike = np.abs(corners.clip(0, 1) - others.clip(0, 1))[inside] < AGREE
    return len(alike) > len(corners) // 10 and bool(np.mean(alike) > AGREEING)
