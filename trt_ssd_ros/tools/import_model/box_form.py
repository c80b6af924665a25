"""Four numbers of a decoded box: two corners, or one point and the size; their order and unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import GraphBuilder
from trt_ssd_ros.tools.import_model.cells import HeadCells
from trt_ssd_ros.tools.import_model.heads import BoxForm, NotFoundError
from trt_ssd_ros.tools.import_model.image_tensor import Size

BEFORE_POINT = {"centre and size": 0.5, "corner and size": 0.0}
"""Share of the size that lies before the point."""
PIXELS_BEYOND = 3
"""Corners beyond this many image sides are in pixels."""
LEAST_ALONG = 0.2
"""Least correlation of boxes' centres with those of their cells."""


def box_form(tensor: str, rows: NDArray[np.float64], cells: HeadCells | None, size: Size) -> BoxForm:
    """Tell what the numbers of decoded boxes (A, 4) are.

    Args:
        tensor: Their name, for people.
        rows: The boxes, in image sides or pixels.
        cells: Where the scores of these boxes come from: boxes lie around their cells.
        size: Height and width of the network's image.

    Raises:
        NotFoundError: They are neither, or that cannot be told.
    """
    if are_corners(rows):
        return "corners"
    if cells is None or (rows[:, 2:] < 0).mean() > 0.01:
        raise NotFoundError(
            f"the boxes in {tensor!r} are neither encoded nor corners: the second corner is not behind the first. "
            "Export them as corners, or name other tensors with --boxes and --scores"
        )
    forms: tuple[BoxForm, BoxForm] = ("centre and size", "corner and size")
    return min(forms, key=lambda form: _distance(in_corners(rows, form), cells, size))


def in_corners(rows: NDArray[Any], form: BoxForm) -> NDArray[np.float64]:
    """Return boxes of some form as corners."""
    if form == "corners":
        return rows
    first = rows[:, :2] - BEFORE_POINT[form] * rows[:, 2:]
    return np.concatenate([first, first + rows[:, 2:]], axis=1)


def append_corners(tail: GraphBuilder, boxes: str, form: BoxForm) -> str:
    """Append what makes corners of boxes [N, A, 4]."""
    boxes = tail("Cast", boxes, to=TensorProto.FLOAT)
    point, size = (tail.sliced(boxes, start, start + 2, 2) for start in (0, 2))
    first = tail("Sub", point, tail("Mul", size, tail.constant(BEFORE_POINT[form])))
    return tail("Concat", first, tail("Add", first, size), name="boxes", axis=2)


def _distance(corners: NDArray[np.float64], cells: HeadCells, size: Size) -> float:
    """Return how far boxes' centres typically are from those of their cells, in image sides."""
    order = along_cells(corners, cells.centres()) or "xyxy"
    sides = np.array(size[::-1] if order == "xyxy" else size) if are_pixels(corners) else np.ones(2)
    middles = (corners[:, :2] + corners[:, 2:]) / 2 / sides
    centres = cells.centres() if order == "xyxy" else cells.centres()[:, ::-1]
    return float(np.median(np.abs(middles - centres)))


def along_cells(corners: NDArray[Any], centres: NDArray[np.float64]) -> str | None:
    """Tell which number is x by the cells that boxes come from; None if boxes are not where their cells are.

    Args:
        corners: (A, 4), of any unit.
        centres: x and y (A, 2) of the cells' centres.
    """
    middles = np.nan_to_num(corners[:, :2].astype(np.float64) + corners[:, 2:])
    middles = np.clip(middles, *np.quantile(middles, [0.02, 0.98]))
    varied = np.ptp(middles, axis=0).all() and np.ptp(centres, axis=0).all()
    if not varied:
        return None
    table = np.corrcoef(middles.T, centres.T)[:2, 2:]
    straight, crossed = (table[0, 0] + table[1, 1]) / 2, (table[0, 1] + table[1, 0]) / 2
    if max(straight, crossed) < max(LEAST_ALONG, 2 * min(straight, crossed)):
        return None
    return "xyxy" if straight > crossed else "yxyx"


def are_pixels(corners: NDArray[Any]) -> bool:
    """Tell whether corners are in pixels, not normalised."""
    return len(corners) > 0 and bool(np.quantile(np.abs(corners), 0.9) > PIXELS_BEYOND)


def are_corners(numbers: NDArray[Any]) -> bool:
    """Tell whether rows are corners, the second behind the first, and not encodings, of which a few would be."""
    rows = numbers.reshape(-1, 4)
    return bool(np.mean((rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1])) > 0.99)
