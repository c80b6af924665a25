"""Whether the NMS that an engine makes of the graph's is greedy NMS: compilers make mistakes."""

from __future__ import annotations

import logging

import numpy as np

from trt_ssd_ros.core.boxes import nms
from trt_ssd_ros.core.detector import CHANNEL_ORDERS, Thresholds
from trt_ssd_ros.core.inference_engine import InferenceEngine
from trt_ssd_ros.core.model_card import ModelCard

LOGGER = logging.getLogger(__name__)
TOLERATED = 0.05
"""Part of the candidates that may be kept otherwise: an overlap at the threshold may be rounded either way."""


def has_greedy_nms(engine: InferenceEngine, card: ModelCard, image_size: tuple[int, int]) -> bool:
    """Hold an engine's NMS against greedy NMS on its own candidates in noise, every one of which is let in.

    Args:
        engine: Runs the card's graph.
        card: What the graph was composed of.
        image_size: Height and width of the noise.

    Returns:
        False if it keeps other boxes, which a warning says. True as well where it has not settled, which is the
        detector's to finish anyway.
    """
    thresholds = Thresholds((0.0,) * len(card.labels), card.defaults.iou_threshold, 1)
    noise = np.random.default_rng(0).integers(0, 256, (1, *image_size, 3), np.uint8)
    outputs = engine.run({"image": noise, "channel_order": CHANNEL_ORDERS["rgb"], **thresholds.tensors})
    if not outputs["settled"][0]:
        return True
    boxes, scores, class_ids, kept = (outputs[name][0] for name in ("boxes", "scores", "class_ids", "keep"))
    wrong = np.count_nonzero(nms(boxes, scores, class_ids, card.overlap_limit(thresholds.iou)) != kept)
    right = wrong <= TOLERATED * np.count_nonzero(scores)
    if not right:
        LOGGER.warning("%s keeps %d wrong boxes of %d: NMS runs on the CPU", engine.name, wrong, len(scores))
    return bool(right)
