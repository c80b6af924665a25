"""Read the prior boxes that are in a graph, and append the decoding with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from trt_ssd_ros.models.graph_builder import Tail
from trt_ssd_ros.tools.import_model.heads import NotFoundError, Priors


def prior_boxes(
    priors: Priors, value: NDArray[Any], count: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return centres x y, sizes w h and variances x y w h of each prior, each with `count` rows."""
    if priors.layout == "yxhw":
        rows = value.reshape(-1, 4).astype(np.float64)
        y, x, h, w = rows.T
        variances = np.broadcast_to(1 / np.array(priors.box_scales)[[1, 0, 3, 2]], rows.shape)
    else:
        rows, variances = _corners_and_variances(value, count)
        if priors.box_scales is not None:
            variances = np.broadcast_to(1 / np.array(priors.box_scales), rows.shape)
        x, y = (rows[:, 0] + rows[:, 2]) / 2, (rows[:, 1] + rows[:, 3]) / 2
        w, h = rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1]
    if len(rows) != count:
        raise NotFoundError(
            f"{priors.tensor!r} holds {len(rows)} prior boxes, expected {count}, as there are boxes"
        )
    return np.stack([x, y], 1), np.stack([w, h], 1), variances


def append_decoding(tail: Tail, encoded: str, priors: Priors, value: NDArray[Any], count: int) -> str:
    """Append the decoding of boxes (SSD, Liu et al. 2016, section 2.2) with priors that are in the graph."""
    encoded = tail("Cast", encoded, to=TensorProto.FLOAT)
    centres, sizes, variances = prior_boxes(priors, value, count)
    if priors.box_order == "yxhw":
        encoded = tail("Gather", encoded, tail.constant([1, 0, 3, 2], np.int64), axis=2)
    ends = [tail.constant([end], np.int64) for end in (0, 2, 4)]
    axis = tail.constant([2], np.int64)
    scaled = tail("Mul", encoded, tail.constant(variances[None]))
    offset, log_size = (tail("Slice", scaled, ends[part], ends[part + 1], axis) for part in range(2))
    prior_size = tail.constant(sizes[None])
    centre = tail("Add", tail("Mul", offset, prior_size), tail.constant(centres[None]))
    size = tail("Mul", tail("Exp", log_size), prior_size)
    half = tail("Mul", size, tail.constant(0.5))
    return tail("Concat", tail("Sub", centre, half), tail("Add", centre, half), name="boxes", axis=2)


def _corners_and_variances(value: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split what NMS_TRT takes, [1, 2, A * 4, 1], and what Keras' SSDs show, [1, A, 8]."""
    if value.size != count * 8:
        shape = list(value.shape)
        raise NotFoundError(f"prior boxes have shape {shape}, expected corners and variances of {count} boxes")
    if value.shape[-1] == 8:
        rows = value.reshape(count, 8).astype(np.float64)
        return rows[:, :4], rows[:, 4:]
    corners, variances = value.reshape(2, count, 4).astype(np.float64)
    return corners, variances
