"""Box formats: corners, centre and size, or corner and size; order and unit of corners."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.tools.import_model.cells import HeadCells
from trt_ssd_ros.tools.import_model.heads import BoxForm, NotFoundError
from trt_ssd_ros.tools.import_model.image_tensor import Size

POINT_OFFSETS = {"centre and size": 0.5, "corner and size": 0.0}
"""Offset of a box's point from its first corner, as a fraction of the box size."""
MAX_NORMALISED = 3
"""90th percentile of coordinates above which corners are in pixels, not normalised."""
MIN_CORRELATION = 0.2
"""Lowest correlation of box centres and cell centres that determines the corner order."""


def box_form(tensor: str, rows: NDArray[np.float64], cells: HeadCells | None, size: Size) -> BoxForm:
    """Return the format of decoded boxes: the one whose box centres are closest to their cells.

    Args:
        tensor: Name of the boxes' tensor, for the error message.
        rows: Boxes (A, 4), normalised or in pixels.
        cells: Feature map cell of each box's scores; None if unknown.
        size: Height and width of the network's image in pixels.

    Raises:
        NotFoundError: The boxes are no corners, and their cells are unknown or their sizes negative.
    """
    if are_corners(rows):
        return "corners"
    if cells is None or (rows[:, 2:] < 0).mean() > 0.01:
        raise NotFoundError(
            f"the boxes in {tensor!r} are neither encoded nor corners: the second corner lies before the first. "
            "Export boxes as corners, or name other tensors with --boxes and --scores"
        )
    forms: tuple[BoxForm, BoxForm] = ("centre and size", "corner and size")
    return min(forms, key=lambda form: _distance(to_corners(rows, form), cells, size))


def to_corners(rows: NDArray[Any], form: BoxForm) -> NDArray[np.float64]:
    """Return boxes (A, 4) as corners (A, 4)."""
    if form == "corners":
        return rows
    first = rows[:, :2] - POINT_OFFSETS[form] * rows[:, 2:]
    return np.concatenate([first, first + rows[:, 2:]], axis=1)


def append_corners(tail: GraphBuilder, boxes: str, form: BoxForm) -> str:
    """Append the conversion of boxes [N, A, 4] to corners, and return the name of their tensor."""
    boxes = tail("Cast", boxes, to=TensorProto.FLOAT)
    point, size = (tail.sliced(boxes, start, start + 2, 2) for start in (0, 2))
    first = tail("Sub", point, tail("Mul", size, tail.constant(POINT_OFFSETS[form])))
    return tail("Concat", first, tail("Add", first, size), name="boxes", axis=2)


def _distance(corners: NDArray[np.float64], cells: HeadCells, size: Size) -> float:
    """Return the median distance between box centres and cell centres along an axis, in image sides."""
    order = corner_order(corners, cells.centres()) or "xyxy"
    sides = np.array(size[::-1] if order == "xyxy" else size) if are_pixels(corners) else np.ones(2)
    middles = (corners[:, :2] + corners[:, 2:]) / 2 / sides
    centres = cells.centres() if order == "xyxy" else cells.centres()[:, ::-1]
    return float(np.median(np.abs(middles - centres)))


def corner_order(corners: NDArray[Any], centres: NDArray[np.float64]) -> str | None:
    """Return the order of corners, xyxy or yxyx, by correlating box centres with cell centres.

    Args:
        corners: Box corners (A, 4), normalised or in pixels.
        centres: Cell centres (A, 2), x and y, normalised.

    Returns:
        The order; None if box centres do not follow their cells.
    """
    middles = np.nan_to_num(corners[:, :2].astype(np.float64) + corners[:, 2:])
    middles = np.clip(middles, *np.quantile(middles, [0.02, 0.98]))
    varied = np.ptp(middles, axis=0).all() and np.ptp(centres, axis=0).all()
    if not varied:
        return None
    table = np.corrcoef(middles.T, centres.T)[:2, 2:]
    straight, crossed = (table[0, 0] + table[1, 1]) / 2, (table[0, 1] + table[1, 0]) / 2
    if max(straight, crossed) < max(MIN_CORRELATION, 2 * min(straight, crossed)):
        return None
    return "xyxy" if straight > crossed else "yxyx"


def are_pixels(corners: NDArray[Any]) -> bool:
    """Return whether corners are in pixels, not normalised."""
    return len(corners) > 0 and bool(np.quantile(np.abs(corners), 0.9) > MAX_NORMALISED)


def are_corners(numbers: NDArray[Any]) -> bool:
    """Return whether rows (A, 4) are corners: the second is not before the first in more than 99 % of them."""
    rows = numbers.reshape(-1, 4)
    return bool(np.mean((rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1])) > 0.99)
