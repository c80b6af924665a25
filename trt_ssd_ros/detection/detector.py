"""Detector: images in, Detections out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections, clip_boxes, nms, scale_boxes
from trt_ssd_ros.detection.engine import InferenceEngine, Tensors
from trt_ssd_ros.detection.region import WHOLE_IMAGE, Region
from trt_ssd_ros.images.frame import ChannelOrder
from trt_ssd_ros.models.card import Defaults, ModelCard

CHANNEL_ORDERS: dict[ChannelOrder, NDArray[np.int32]] = {
    "rgb": np.array([0, 1, 2], np.int32),
    "bgr": np.array([2, 1, 0], np.int32),
}


@dataclass(frozen=True)
class Thresholds:
    """What may change from one frame to the next without rebuilding anything.

    Attributes:
        classes: Lowest score reported, one number per class; above 1 switches that class off.
        iou: Overlap in [0, 1] above which the lesser of two boxes of a class is dropped.
        max_detections: Most boxes reported for an image.

    Raises:
        ValueError: A number is out of range.
    """

    classes: tuple[float, ...]
    iou: float
    max_detections: int

    def __post_init__(self) -> None:
        if not all(score >= 0 for score in self.classes):
            raise ValueError(f"class thresholds: found {self.classes}, expected numbers of 0 or more")
        if not 0 <= self.iou <= 1:
            raise ValueError(f"IoU threshold: found {self.iou}, expected 0 to 1")
        if self.max_detections < 1:
            raise ValueError(f"max_detections: found {self.max_detections}, expected 1 or more")

    @cached_property
    def tensors(self) -> Tensors:
        """The graph's inputs class_threshold, (C,) float32, and iou_threshold, (1,) float32."""
        return {
            "class_threshold": np.array(self.classes, np.float32),
            "iou_threshold": np.array([self.iou], np.float32),
        }

    @property
    def lowest(self) -> float:
        """Lowest score that may be reported, of whatever class."""
        return min(self.classes)

    @classmethod
    def uniform(cls, defaults: Defaults, class_count: int) -> Thresholds:
        """Return a card's defaults with the same score threshold for every class."""
        return cls((defaults.score_threshold,) * class_count, defaults.iou_threshold, defaults.max_detections)


@dataclass
class DetectorCounts:
    """How many images were seen, and in how many of them something out of the ordinary happened.

    Attributes:
        images: Images detected in.
        unsettled: The graph's NMS had not reached its fixed point, or is not trusted; the host did it.
        saturated: Every candidate slot was taken, so weaker candidates may have been cut before NMS.
    """

    images: int = 0
    unsettled: int = 0
    saturated: int = 0


class Detector:
    """One detection graph, an engine that runs it, and the thresholds it runs with.

    `thresholds` may be replaced between calls. Like its engine, a detector belongs to one thread.

    Args:
        engine: What runs the graph.
        card: What the graph was composed of.
        host_nms: Whether to do NMS on the host although the engine has done it; see `detection/agreement.py`.
    """

    def __init__(self, engine: InferenceEngine, card: ModelCard, host_nms: bool = False) -> None:
        self.card = card
        self.thresholds = Thresholds.uniform(card.defaults, len(card.labels))
        self.counts = DetectorCounts()
        self._engine = engine
        self._host_nms = host_nms

    @property
    def engine_name(self) -> str:
        """Runtime, version and device, for people."""
        return self._engine.name

    @property
    def engine_kind(self) -> str:
        """Backend of the engine; see `InferenceEngine.kind`."""
        return self._engine.kind

    @property
    def precision(self) -> str:
        """Precision of the network's arithmetic: `fp32`, `fp16` or `int8`."""
        return self._engine.precision

    def memory_used(self) -> int | None:
        """Return the bytes in use on the engine's GPU; see `InferenceEngine.memory_used`."""
        return self._engine.memory_used()

    def detect(
        self, image: NDArray[np.uint8], channel_order: ChannelOrder = "bgr", region: Region = WHOLE_IMAGE
    ) -> Detections:
        """Find the objects in one image.

        Args:
            image: (H, W, 3) uint8, any height and width, contiguous or not.
            channel_order: The order of its channels.
            region: The part of it that is looked at; the rest is as if it were not there.

        Returns:
            Boxes in pixels of this image, best first; those wholly outside of it, or without area, are none.

        Raises:
            ValueError: The image has another type or shape, or the region lies outside of it.
        """
        if region == WHOLE_IMAGE or image.ndim != 3:
            return self.detect_batch(image[None], channel_order)[0]
        window = region.window(image.shape[1], image.shape[0])
        return window.restore(self.detect_batch(window.crop(image)[None], channel_order)[0])

    def detect_batch(self, images: NDArray[np.uint8], channel_order: ChannelOrder = "bgr") -> list[Detections]:
        """Find the objects in several images of one size, (N, H, W, 3) uint8; see `detect`."""
        if 0 in images.shape:
            raise ValueError(f"image: found shape {images.shape}, expected one image or more with pixels")
        thresholds = self.thresholds
        outputs = self._engine.run(
            {
                "image": images,
                "channel_order": CHANNEL_ORDERS[channel_order],
                **thresholds.tensors,
            }
        )
        height, width = images.shape[1:3]
        return [self._finish(outputs, index, width, height, thresholds) for index in range(len(images))]

    def _finish(self, outputs: Tensors, index: int, width: int, height: int, thresholds: Thresholds) -> Detections:
        """Turn one image's candidates into detections, finishing NMS where the graph could not."""
        boxes, scores, class_ids = (outputs[name][index] for name in ("boxes", "scores", "class_ids"))
        self.counts.images += 1
        self.counts.saturated += scores.item(-1) > 0
        keep = outputs["keep"][index]
        if self._host_nms or not outputs["settled"][index]:
            self.counts.unsettled += 1
            keep = nms(boxes, scores, class_ids, self.card.overlap_limit(thresholds.iou))
        kept = keep.nonzero()[0]
        if not kept.size:
            return Detections.empty()
        scaled = clip_boxes(scale_boxes(boxes[kept], width, height), width, height)
        seen = (scaled[:, 2:] > scaled[:, :2]).all(axis=1).nonzero()[0][: thresholds.max_detections]
        return Detections(scaled[seen], scores[kept[seen]], class_ids[kept[seen]])

    def close(self) -> None:
        """Close the engine; further calls do nothing."""
        self._engine.close()
