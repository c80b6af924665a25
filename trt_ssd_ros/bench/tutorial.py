"""Detection as in the SSD tutorials of 2020, around the bare network of a card.

OpenCV resizes, the CPU normalises, the network ends in its raw heads, and the host decodes and suppresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import nms
from trt_ssd_ros.models.card import ModelCard, RawHeads
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.priors import decode_boxes

Floats = NDArray[np.float32]
RunNetwork = Callable[[Floats], tuple[NDArray[Any], NDArray[Any]]]
"""Network: pixels (1, height, width, 3) to boxes (1, anchors, 4) and logits (1, anchors, classes)."""


class TutorialPipeline:
    """Detection pipeline of the tutorials.

    Args:
        card: Model card with NHWC rgb input, sigmoid scores with the background first, and boxes as y x h w.
        run: Network of the card.
    """

    def __init__(self, card: ModelCard, run: RunNetwork) -> None:
        self._card = card
        self._priors = card.prior_boxes()
        self._run = run

    def detect(self, image: NDArray[np.uint8]) -> int:
        """Detect in an image (H, W, 3) uint8 bgr, and return the number of detections."""
        spec, outputs = self._card.input, self._card.outputs
        assert isinstance(outputs, RawHeads)
        resized = cv2.cvtColor(cv2.resize(image, (spec.width, spec.height)), cv2.COLOR_BGR2RGB)
        pixels = (resized.astype(np.float32) - np.array(spec.mean, np.float32)) * np.array(spec.scale, np.float32)
        boxes, logits = self._run(np.ascontiguousarray(pixels[None]))
        corners = decode_boxes(boxes[0].astype(np.float32), self._priors, outputs.box_scales, outputs.box_order)
        return self._suppress(corners, logits[0, :, 1:])

    def _suppress(self, boxes: Floats, logits: NDArray[Any]) -> int:
        """Return the number of boxes that greedy NMS keeps."""
        defaults = self._card.defaults
        scores = 1 / (1 + np.exp(-logits.astype(np.float32)))
        anchors, classes = np.nonzero(scores >= defaults.score_threshold)
        kept = nms(boxes[anchors], scores[anchors, classes], classes.astype(np.int32), defaults.iou_threshold)
        return int(kept.sum())


def network_of_batch_1(card: ModelCard) -> onnx.ModelProto:
    """Return the network of a card for one image at a time."""
    network, fixed = load_network(card), onnx.ModelProto()
    fixed.CopyFrom(network)
    for tensor in (*fixed.graph.input, *fixed.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    return fixed


def on_the_cpu(card: ModelCard) -> TutorialPipeline:
    """Return the pipeline with ONNX Runtime and its default options."""
    import onnxruntime  # noqa: PLC0415 - not on every GPU machine

    session = onnxruntime.InferenceSession(network_of_batch_1(card).SerializeToString())
    outputs = card.outputs
    assert isinstance(outputs, RawHeads)
    names = [outputs.boxes, outputs.scores]

    def run(pixels: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
        boxes, logits = session.run(names, {card.input.tensor: pixels})
        return boxes, logits

    return TutorialPipeline(card, run)
