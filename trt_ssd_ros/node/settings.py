"""DetectionSettings: all live parameters at one moment, and the parameters they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from trt_ssd_ros.detection.detector import Thresholds
from trt_ssd_ros.detection.draw import DrawStyle
from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.thresholds import class_thresholds
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.models.card import Defaults, ModelCard
from trt_ssd_ros.node.parameter_table import (
    DETECTION,
    ENGINE,
    IOU_THRESHOLD,
    MAX_DETECTIONS,
    MODEL,
    SCORE_THRESHOLD,
)
from trt_ssd_ros.ros.parameters import ExplainedNode, ParameterSpec


@dataclass(frozen=True)
class DetectionSettings:
    """All live parameters at one moment, validated together. An image keeps one of these from start to end.

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


def declare_model(node: ExplainedNode) -> str:
    """Declare the model and return it."""
    model: str = node.declare(MODEL)
    return model


def declare_engine(node: ExplainedNode) -> EngineChoice:
    """Declare what runs the model, and how."""
    values = {spec.name: node.declare(spec) for spec in ENGINE}
    level, core = values["optimization_level"], values["dla_core"]
    options = BuildOptions(
        max_image_side=values["max_image_side"],
        workspace_mib=values["workspace_mib"],
        optimization_level=None if level < 0 else level,
        dla_core=None if core < 0 else core,
    )
    return EngineChoice(values["backend"], values["precision"], options)


class DetectionParameters:
    """The parameters that may change while frames flow.

    Args:
        node: The node that gets them.
        card: Gives the defaults and the names of the classes.

    Attributes:
        current: What the next frame is detected with. Replaced as a whole once a set is complete, so whoever reads
            it once for a frame, in whatever thread, has values that were validated together.

    Raises:
        ValueError: The node was started with a value that is wrong; begins with the parameter's name.
    """

    def __init__(self, node: ExplainedNode, card: ModelCard) -> None:
        self._node = node
        self._card = card
        self._listeners: list[Callable[[DetectionSettings], None]] = []
        for spec in _with_defaults(card.defaults):
            node.declare(spec)
        self.current = self._settings_after([])
        node.add_on_set_parameters_callback(self._validate)
        node.call_after_set(self._apply)

    def call_when_changed(self, callback: Callable[[DetectionSettings], None]) -> None:
        """Call back with the settings before, in the thread that sets parameters, once `current` is another."""
        self._listeners.append(callback)

    def _settings_after(self, parameters: list[Parameter]) -> DetectionSettings:
        """Return the settings as they would be with some parameters set."""
        values = {spec.name: self._node.get_parameter(spec.name).value for spec in DETECTION}
        values.update((parameter.name, parameter.value) for parameter in parameters)
        return DetectionSettings.of(values, self._card)

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self._settings_after(parameters)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self) -> None:
        before, self.current = self.current, self._settings_after([])
        if self.current != before:
            for callback in self._listeners:
                callback(before)


def _with_defaults(defaults: Defaults) -> list[ParameterSpec]:
    """Return the live parameters with a card's defaults."""
    from_card = (
        SCORE_THRESHOLD.with_default(defaults.score_threshold),
        IOU_THRESHOLD.with_default(defaults.iou_threshold),
        MAX_DETECTIONS.with_default(defaults.max_detections, highest=defaults.candidates),
    )
    specs = {spec.name: spec for spec in (*DETECTION, *from_card)}
    return list(specs.values())
