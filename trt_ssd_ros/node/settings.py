"""DetectionSettings: values of all live parameters at one moment, and DetectionParameters, which declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from trt_ssd_ros.detection.draw import DrawStyle
from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.thresholds import Thresholds, class_thresholds
from trt_ssd_ros.detection.views import Views, named_region
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.remote_server import RemoteOptions
from trt_ssd_ros.models.card import Defaults, ModelCard
from trt_ssd_ros.node.parameter_table import (
    CAMERAS,
    DETECTION,
    ENGINE,
    IOU_THRESHOLD,
    MAX_DETECTIONS,
    MODEL,
    SCORE_THRESHOLD,
)
from trt_ssd_ros.ros.parameters import ParameterNode, ParameterSpec, check_camera_names
from trt_ssd_ros.tracking.association import load_solver
from trt_ssd_ros.tracking.settings import TrackerSettings


@dataclass(frozen=True)
class PreviewSettings:
    """Settings of preview/compressed.

    Attributes:
        width: Largest width of the pictures in pixels.
        rate: Largest number of pictures per second; 0: no limit.
        quality: JPEG quality from 1 to 100.
    """

    width: int
    rate: float
    quality: int


@dataclass(frozen=True)
class DetectionSettings:
    """Values of all live parameters at one moment, validated together; each image uses one object throughout.

    Attributes:
        score_threshold: Lowest reported score of classes without their own threshold.
        thresholds: Thresholds of the detector; lower than those of the results while the camera is tracked.
        tracker: Settings of the tracker; None: the camera is not tracked.
        views: Parts of the image that the detector sees.
        lazy: Whether images are taken only while a topic with results has a subscriber.
        max_rate: Largest rate of processed images in Hz; 0: no limit.
        max_input_age: Largest age of an image in seconds; 0: no limit.
        class_id_format: Content of `class_id`: `name` for the label, `id` for its id in LabelInfo.
        debug_image: Whether debug_image is published while it has a subscriber.
        style: Style of the boxes in debug_image.
        preview: Settings of preview/compressed.
    """

    score_threshold: float
    thresholds: Thresholds
    tracker: TrackerSettings | None
    views: Views
    lazy: bool
    max_rate: float
    max_input_age: float
    class_id_format: str
    debug_image: bool
    style: DrawStyle
    preview: PreviewSettings

    @classmethod
    def of(cls, values: Mapping[str, Any], card: ModelCard) -> DetectionSettings:
        """Return the settings for parameter values, by the names in `parameter_table.DETECTION`.

        Raises:
            ValueError: A value does not fit the card or other values; the message starts with the parameter.
        """
        classes = class_thresholds(
            card.labels,
            values["score_threshold"],
            values["class_thresholds"],
            values["include_classes"],
            values["exclude_classes"],
        )
        tracker = _tracker(values, classes)
        wanted = classes if tracker is None else tracker.wanted_scores
        return cls(
            score_threshold=values["score_threshold"],
            thresholds=Thresholds(wanted, values["iou_threshold"], values["max_detections"]),
            tracker=tracker,
            views=_views(values),
            lazy=values["lazy"],
            max_rate=values["max_rate"],
            max_input_age=values["max_input_age"],
            class_id_format=values["class_id_format"],
            debug_image=values["debug_image"],
            style=DrawStyle(values["debug_line_width"], values["debug_labels"], values["debug_timing"]),
            preview=PreviewSettings(values["preview_width"], values["preview_rate"], values["preview_quality"]),
        )

    def too_old(self, age: float) -> bool:
        """Return whether an image of this age in seconds is too old."""
        return 0 < self.max_input_age < age


def _tracker(values: Mapping[str, Any], thresholds: tuple[float, ...]) -> TrackerSettings | None:
    """Return the tracker's settings for parameter values, and load what it needs; None: no tracking."""
    if not values["tracking"]:
        return None
    try:
        load_solver()
    except RuntimeError as error:
        raise ValueError(f"tracking: found true, but {error}") from error
    settings = {name.removeprefix("track_"): value for name, value in values.items() if name.startswith("track_")}
    return TrackerSettings(thresholds, **settings)


def _views(values: Mapping[str, Any]) -> Views:
    """Return the views for parameter values."""
    tiles = tuple(values["tiles"])
    if len(tiles) != 2:
        raise ValueError(f"tiles: found {list(tiles)}, expected two whole numbers: columns and rows")
    regions = tuple(map(named_region, values["regions"]))
    return Views(Region.of(values["roi"]), tiles, values["tile_overlap"], regions, values["whole_view"])


def declare_cameras(node: ParameterNode) -> list[str]:
    """Declare the parameter `cameras` and return the names of the cameras.

    Raises:
        ValueError: A name is no ROS name, or is there twice.
    """
    names: list[str] = list(node.declare(CAMERAS))
    check_camera_names(names)
    return names


def declare_model(node: ParameterNode) -> str:
    """Declare the parameter `model` and return its value."""
    model: str = node.declare(MODEL)
    return model


def declare_engine(node: ParameterNode) -> EngineChoice:
    """Declare the engine parameters and return their values."""
    values = {spec.name: node.declare(spec) for spec in ENGINE}
    level, core = values["optimization_level"], values["dla_core"]
    options = BuildOptions(
        max_image_side=values["max_image_side"],
        workspace_mib=values["workspace_mib"],
        optimization_level=None if level < 0 else level,
        dla_core=None if core < 0 else core,
    )
    return EngineChoice(
        values["backend"],
        values["precision"],
        options,
        values["cpu_threads"],
        values["resize_on"],
        values["gpu"],
        values["gpu_wait"],
        RemoteOptions(**{f.name: values[f"remote_{f.name}"] for f in fields(RemoteOptions)}),
    )


class DetectionParameters:
    """Parameters that may change while images arrive.

    Args:
        node: Node that declares the parameters.
        card: Model card with the defaults and the class names.
        camera: Name of the camera whose own values these are; those that are not set follow the node's. Empty: the
            node's values.

    Attributes:
        current: Settings for the next image. Each change replaces the object as a whole, so a thread that reads it
            once per image gets values that were validated together.

    Raises:
        ValueError: A value at the node's start is wrong; the message starts with the parameter's name.
    """

    def __init__(self, node: ParameterNode, card: ModelCard, camera: str = "") -> None:
        self._node = node
        self._card = card
        self._camera = camera
        self._listeners: list[Callable[[DetectionSettings], None]] = []
        for spec in _with_defaults(card.defaults):
            node.declare(spec.for_camera(camera) if camera else spec)
        self.current = self._settings_after([])
        node.add_on_set_parameters_callback(self._validate)
        node.call_after_set(self._apply)

    def call_when_changed(self, callback: Callable[[DetectionSettings], None]) -> None:
        """Register a callback for changes of `current`.

        It gets the old settings, and runs in the thread that sets parameters.
        """
        self._listeners.append(callback)

    def _settings_after(self, parameters: list[Parameter]) -> DetectionSettings:
        """Return the settings that would result from setting these parameters."""
        pending = {parameter.name: parameter.value for parameter in parameters}

        def value(name: str) -> Any:
            return pending[name] if name in pending else self._node.get_parameter(name).value

        values = {spec.name: value(spec.name) for spec in DETECTION}
        common = DetectionSettings.of(values, self._card)
        if not self._camera:
            return common
        own = {spec.name: value(f"{self._camera}.{spec.name}") for spec in DETECTION}
        values |= {name: its for name, its in own.items() if its is not None}
        try:
            return DetectionSettings.of(values, self._card)
        except ValueError as error:
            raise ValueError(f"{self._camera}.{error}") from error

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
    """Return the live parameters with the defaults of a card."""
    from_card = (
        SCORE_THRESHOLD.with_default(defaults.score_threshold),
        IOU_THRESHOLD.with_default(defaults.iou_threshold),
        MAX_DETECTIONS.with_default(defaults.max_detections, highest=defaults.candidates),
    )
    specs = {spec.name: spec for spec in (*DETECTION, *from_card)}
    return list(specs.values())
