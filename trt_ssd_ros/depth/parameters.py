"""Parameters of the locator, the source of docs/parameters.md and of the descriptors, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from trt_ssd_ros.depth.placement import PlacementSettings
from trt_ssd_ros.images.calibration import names_rectified
from trt_ssd_ros.ros.parameters import Kind, ParameterNode, ParameterSpec

REGISTRATIONS = ("auto", "done")
_DEFAULT = PlacementSettings()
_INPUTS = "it belongs to the inputs, which the node opens at the start"

LIVE = (
    ParameterSpec(
        "target_frame",
        Kind.STRING,
        "",
        "Frame of the results, by tf at the stamp of the image, e.g. map; empty: optical frame of the camera",
    ),
    ParameterSpec(
        "registration",
        Kind.STRING,
        "auto",
        "auto: depth images of another frame than the camera's are projected into the camera, by tf and both "
        "camera_infos; done: the driver has registered them, whatever their frame_id says",
        choices=REGISTRATIONS,
    ),
    ParameterSpec(
        "rectified",
        Kind.BOOL,
        False,
        "Whether the detector's images are rectified (image_rect), so that P of camera_info describes them, not K "
        "and D",
    ),
    ParameterSpec(
        "depth_rectified",
        Kind.BOOL,
        None,
        "Whether the depth images are rectified, so that P of their camera_info describes them, not K and D",
        default_is="true if the depth topic is named so, e.g. image_rect_raw",
    ),
    ParameterSpec(
        "min_range",
        Kind.DOUBLE,
        _DEFAULT.min_range,
        "Least distance of objects along the optical axis, in metres",
        0.001,
        1000.0,
    ),
    ParameterSpec(
        "max_range",
        Kind.DOUBLE,
        _DEFAULT.max_range,
        "Greatest distance of objects along the optical axis, in metres",
        0.001,
        1000.0,
    ),
    ParameterSpec(
        "target_class",
        Kind.STRING,
        "",
        "class_id of the objects of which ~/target is the nearest, e.g. person; empty: any",
    ),
    ParameterSpec("target_id", Kind.STRING, "", "id of the object that ~/target follows; empty: any"),
    ParameterSpec(
        "publish_tf",
        Kind.BOOL,
        False,
        "Publish a tf frame object_<id> for each object with an id; counts as a subscriber of the results",
    ),
)
FIXED = (
    ParameterSpec(
        "max_wait",
        Kind.DOUBLE,
        0.2,
        "Longest time that detections wait for their depth image and their transforms, in seconds",
        0.0,
        10.0,
        fixed=_INPUTS,
    ),
    ParameterSpec(
        "depth_memory",
        Kind.DOUBLE,
        2.0,
        "Time for which depth images wait for their detections, in seconds: more than the detector's latency",
        0.1,
        60.0,
        fixed=_INPUTS,
    ),
)
LOCATOR_NODE = (*LIVE, *FIXED)


@dataclass(frozen=True)
class LocatorSettings:
    """Values of all live parameters at one moment; each image uses one object throughout.

    Attributes:
        target_frame: Frame of the results; empty: optical frame of the camera.
        registered: Whether the depth images are registered, whatever their frame is.
        rectified: Whether the detector's images are rectified.
        depth_rectified: Whether the depth images are rectified.
        placement: Settings of the placement.
        target_class: class_id of the target; empty: any.
        target_id: id of the target; empty: any.
        publish_tf: Whether each object with an id has a tf frame.
    """

    target_frame: str
    registered: bool
    rectified: bool
    depth_rectified: bool
    placement: PlacementSettings
    target_class: str
    target_id: str
    publish_tf: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LocatorSettings:
        """Return the settings for parameter values, by the names in LIVE.

        Raises:
            ValueError: A value does not fit another one; the message starts with the parameter.
        """
        return cls(
            target_frame=values["target_frame"].lstrip("/"),  # as in tf2, where names have no / at the beginning
            registered=values["registration"] == "done",
            rectified=values["rectified"],
            depth_rectified=values["depth_rectified"],
            placement=PlacementSettings(values["min_range"], values["max_range"]),
            target_class=values["target_class"],
            target_id=values["target_id"],
            publish_tf=values["publish_tf"],
        )


class LocatorParameters:
    """Parameters of the locator.

    Args:
        node: Node that declares them.
        depth_topic: Full name of the depth topic.

    Attributes:
        settings: Values of the live parameters now.

    Raises:
        ValueError: A value at the start does not fit.
    """

    def __init__(self, node: ParameterNode, depth_topic: str) -> None:
        self._node = node
        rectified = names_rectified(depth_topic)
        specs = [s.with_default(rectified) if s.name == "depth_rectified" else s for s in LIVE]
        self.settings = LocatorSettings.of({spec.name: node.declare(spec) for spec in specs})
        node.add_on_set_parameters_callback(self._validate)
        node.call_after_set(self._apply)

    def _values(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        return {s.name: changed.get(s.name, self._node.get_parameter(s.name).value) for s in LIVE}

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        """Check the values together, without a side effect: another callback may refuse the change."""
        try:
            LocatorSettings.of(self._values({parameter.name: parameter.value for parameter in parameters}))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self) -> None:
        self.settings = LocatorSettings.of(self._values({}))
