"""Order of the prior boxes of a cell, found by the agreement of the boxes that a network decodes with them.

A network gives one object several boxes in one cell, from prior boxes of different shapes. They agree if each is
decoded with the prior box that it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.models.priors import PriorGenerator, Priors, SsdAnchorGenerator, decode_boxes
from trt_ssd_ros.tools.import_model.analysis import NetworkAnalysis
from trt_ssd_ros.tools.import_model.evidence import as_rows
from trt_ssd_ros.tools.import_model.families import BOX_SCALES
from trt_ssd_ros.tools.import_model.image_tensor import Size
from trt_ssd_ros.tools.import_model.input_draft import Document, UserOptions

MIN_LEAD = 0.08
"""Smallest lead in agreement that decides. Real networks have .11 to .55 on photos, .09 without any object."""


def agreements(
    encoded: NDArray[np.float64],
    scores: NDArray[np.float64],
    generators: Sequence[PriorGenerator],
    size: Size,
    box_order: str,
) -> list[float]:
    """Return how well the boxes of a cell agree when they are decoded with the prior boxes of each generator.

    Args:
        encoded: Box encodings (A, 4) for a photo, in the order of the prior boxes.
        scores: Scores (A, classes) of 0 to 1, without the background.
        generators: Generators of A prior boxes with the same centres.
        size: Height and width of the network's input in pixels.
        box_order: Order of the four encoded numbers.

    Returns:
        The mean intersection over union of two boxes of one cell, 0 to 1, for each generator.
    """
    priors = [generator.priors(*size) for generator in generators]
    cells = cells_that_differ(priors)
    with np.errstate(over="ignore"):  # the photo is only roughly normalised
        boxes = [decode_boxes(encoded, item, BOX_SCALES, box_order).clip(0, 1)[cells] for item in priors]
    first, second = np.triu_indices(cells.shape[1], 1)
    weights = pair_weights(scores[cells][:, first], scores[cells][:, second])
    return [
        float(np.average(overlap(corners[:, first], corners[:, second]), weights=weights)) for corners in boxes
    ]


def cells_that_differ(priors: Sequence[Priors]) -> NDArray[np.int64]:
    """Return the rows (cells, shapes) of the cells whose prior boxes differ between generators."""
    starts = np.r_[True, (np.diff(priors[0][:, :2], axis=0) != 0).any(axis=1)]
    cell = np.cumsum(starts) - 1
    differs = np.any([(item != priors[0]).any(axis=1) for item in priors], axis=0)
    chosen = np.unique(cell[differs])
    return np.flatnonzero(np.isin(cell, chosen)).reshape(len(chosen), -1)


def pair_weights(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (cells, pairs) of pairs of boxes from their scores (cells, pairs, classes).

    Two boxes show one object as surely as the less sure of them shows its class; the square lets objects outweigh
    the many cells of the background.
    """
    weights: NDArray[np.float64] = np.minimum(scores, others).max(axis=-1) ** 2
    return weights + np.finfo(np.float64).tiny  # so that scores of 0 have a mean


def overlap(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection over union (...) of boxes (..., 4) as corners; 0 for boxes without area."""
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    shared = sides.clip(0).prod(axis=-1)
    own, other = ((item[..., 2:] - item[..., :2]).prod(axis=-1) for item in (boxes, others))
    ratio: NDArray[np.float64] = shared / np.maximum(own + other - shared, np.finfo(np.float64).tiny)
    return ratio


def choose_order(
    found: NetworkAnalysis, generators: Sequence[PriorGenerator], outputs: Document, user: UserOptions
) -> PriorGenerator:
    """Return the generator with the order of the user, else with the order in which boxes agree, else prompt.

    Args:
        found: Analysed network with raw heads.
        generators: Generators that fit the heads; they differ only in the order of the boxes of a cell.
        outputs: Section of the card on the outputs.
        user: Options of the user.

    Raises:
        ValueError: No generator has the user's order, or the user did not answer.
    """
    orders: dict[str, PriorGenerator] = {
        item.interpolated: item for item in generators if isinstance(item, SsdAnchorGenerator)
    }
    stated = user.options.get("interpolated")
    if stated is not None and stated not in orders:
        raise ValueError(
            f"--interpolated: found {stated}, which the prior boxes of this network do not have: omit it"
        )
    if stated is not None:
        return orders[stated]
    if len(orders) < 2:
        return generators[0]
    heads = photo_heads(found, outputs)
    overlaps = agreements(*heads, list(orders.values()), found.entry.size, outputs["box_order"])
    (best, high), (other, low) = sorted(zip(orders, overlaps, strict=True), key=lambda item: -item[1])
    if not high - low >= MIN_LEAD:  # also if a network gives NaN
        question = (
            "the photo does not show the position of the interpolated square among the prior boxes of a cell "
            f"(boxes overlap by {high:.2f} if it is {best}, by {low:.2f} if {other}). It is second in networks of "
            "TensorFlow of 2017, else last: give --image of a large object that it detects, or the position"
        )
        return orders[user.prompt("interpolated", question, list(orders))]
    user.assume(
        f"the interpolated square of the prior boxes is {best}, as boxes of one cell in the photo overlap by "
        f"{high:.2f} ({other}: {low:.2f})"
    )
    return orders[best]


def photo_heads(found: NetworkAnalysis, outputs: Document) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return box encodings (A, 4) and scores (A, classes) for the photo, in the order of the prior boxes."""
    evidence, heads, columns = found.evidence, found.heads, found.network.columns
    assert evidence is not None
    encoded, scores = as_rows(found.values[heads.boxes]), as_rows(found.values[heads.scores], columns)
    if evidence.cells is not None:
        encoded = encoded[evidence.cells.order]
    if evidence.score_cells is not None:
        scores = scores[evidence.score_cells.order]
    if outputs["score_conversion"] == "sigmoid":
        scores = 1 / (1 + np.exp(-scores.clip(-50, 50)))
    elif outputs["score_conversion"] == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
    classes = {"first": slice(1, None), "last": slice(None, -1), "none": slice(None)}[outputs["background"]]
    return encoded, scores[:, classes]
