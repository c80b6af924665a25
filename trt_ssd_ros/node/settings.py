"""DetectionSettings: what one frame is detected and published with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trt_ssd_ros.detection.detector import Thresholds
from trt_ssd_ros.detection.draw import DrawStyle
from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.thresholds import class_thresholds
from trt_ssd_ros.models.card import ModelCard


@dataclass(frozen=True)
class DetectionSettings:
    """All live parameters at one moment, validated together. A frame keeps one of these from start to end.

    Attributes:
        score_threshold: Lowest score reported of classes without a threshold of their own.
        thresholds: What the detector runs with.
        region: Part of the image that is looked at.
        max_rate: Most frames a second; 0: all.
        max_input_age: Seconds from which on a frame is too old; 0: never.
        class_id_format: Whether `class_id` carries the label's `name` or its `id`.
        debug_image: Whether debug_image is published while somebody subscribes to it.
        style: How it is drawn.
    """

    score_threshold: float
    thresholds: Thresholds
    region: Region
    max_rate: float
    max_input_age: float
    class_id_format: str
    debug_image: bool
    style: DrawStyle

    @classmethod
    def of(cls, values: Mapping[str, Any], card: ModelCard) -> DetectionSettings:
        """Return the settings that parameters mean, by the names in `parameter_table.DETECTION`.

        Raises:
            ValueError: They do not fit the card or each other; begins with the parameter that is wrong.
        """
        classes = class_thresholds(
            card.labels,
            values["score_threshold"],
            values["class_thresholds"],
            values["include_classes"],
            values["exclude_classes"],
        )
        return cls(
            score_threshold=values["score_threshold"],
            thresholds=Thresholds(classes, values["iou_threshold"], values["max_detections"]),
            region=Region.of(values["roi"]),
            max_rate=values["max_rate"],
            max_input_age=values["max_input_age"],
            class_id_format=values["class_id_format"],
            debug_image=values["debug_image"],
            style=DrawStyle(values["debug_line_width"], values["debug_labels"], values["debug_timing"]),
        )

    def too_old(self, age: float) -> bool:
        """Tell whether a frame of an age in seconds is to be dropped."""
        return 0 < self.max_input_age < age
