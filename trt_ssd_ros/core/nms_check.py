"""Whether the NMS that an engine makes of the graph's is greedy NMS: compilers make mistakes."""

from __future__ import annotations

import logging

import numpy as np

from trt_ssd_ros.core.boxes import nms
from trt_ssd_ros.detection.detector import CHANNEL_ORDERS, Thresholds
from trt_ssd_ros.detection.engine import InferenceEngine
from trt_ssd_ros.models.card import ModelCard

LOGGER = logging.getLogger(__name__)
TOLERATED = 0.05
"""Part of the candidates that may be kept otherwise: an overlap at the threshold may be rounded either way."""


def has_greedy_nms(engine: InferenceEngine, card: ModelCard, shape: tuple[int, int, int, int]) -> bool:
    """Hold an engine's NMS against greedy NMS on its own candidates in noise, every one of which is let in.

    Args:
        engine: Runs the card's graph.
        card: What the graph was composed of.
        shape: That of the noise, (N, H, W, 3); every image of it is looked at.

    Returns:
        False if it keeps other boxes, which a warning says. True as well where nothing has settled, which is
        the detector's to finish anyway.
    """
    thresholds = Thresholds((0.0,) * len(card.labels), card.defaults.iou_threshold, 1)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    outputs = engine.run({"image": noise, "channel_order": CHANNEL_ORDERS["rgb"], **thresholds.tensors})
    wrong = total = 0
    for image in np.flatnonzero(outputs["settled"]):
        boxes, scores, class_ids, kept = (
            outputs[name][image] for name in ("boxes", "scores", "class_ids", "keep")
        )
        greedy = nms(boxes, scores, class_ids, card.overlap_limit(thresholds.iou))
        wrong += np.count_nonzero(greedy != kept)
        total += np.count_nonzero(scores)
    right = wrong <= max(1, TOLERATED * total)
    if not right:
        LOGGER.warning("%s keeps %d wrong boxes of %d: NMS runs on the CPU", engine.name, wrong, total)
    return bool(right)
