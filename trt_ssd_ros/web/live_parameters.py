"""LiveParameters: the detector's parameters that can change while it runs, and its cameras."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, ParameterEvent, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters

from trt_ssd_ros.detection.region import Region, Window
from trt_ssd_ros.detection.views import Views, named_region
from trt_ssd_ros.ros.overrides import OTHERS
from trt_ssd_ros.ros.parameters import Kind
from trt_ssd_ros.web.messages import SHOWN_TYPES, page_value, parameter_of
from trt_ssd_ros.web.protocol import Parameter
from trt_ssd_ros.web.services import Services

CAMERAS = "cameras"
VIEWS = ("roi", "tiles", "tile_overlap", "regions", "whole_view")
NOT_SET = Kind.NOT_SET.name.lower()


class LiveParameters:
    """Copy of the parameters of one detector; all calls are made in the executor's thread.

    Args:
        services: Services of the detector.
        changed: Called after a change.

    Attributes:
        cameras: Names of the detector's cameras, "" for its only one; None: not read yet.
        values: Parameters by their names.
    """

    def __init__(self, services: Services, changed: Callable[[], None]) -> None:
        self.cameras: list[str] | None = None
        self.values: dict[str, Parameter] = {}
        self._services = services
        self._changed = changed
        for kind, name in (
            (ListParameters, "list_parameters"),
            (DescribeParameters, "describe_parameters"),
            (GetParameters, "get_parameters"),
        ):
            services.add(kind, name)

    def read(self, done: Callable[[bool], None]) -> None:
        """Read names, descriptions and values, one after the other.

        Args:
            done: Called at the end with whether all were answered.
        """
        self._services.call("list_parameters", ListParameters.Request(), partial(self._describe, done))

    def _describe(self, done: Callable[[bool], None], response: Any) -> None:
        if response is None:
            done(False)
            return
        names = [name for name in response.result.names if not OTHERS.match(name)]
        request = DescribeParameters.Request(names=names)
        self._services.call("describe_parameters", request, partial(self._get, done))

    def _get(self, done: Callable[[bool], None], response: Any) -> None:
        if response is None:
            done(False)
            return
        live = [found for found in response.descriptors if not found.read_only and found.type in SHOWN_TYPES]
        request = GetParameters.Request(names=[CAMERAS, *(descriptor.name for descriptor in live)])
        self._services.call("get_parameters", request, partial(self._take, done, live))

    def _take(self, done: Callable[[bool], None], live: Sequence[ParameterDescriptor], response: Any) -> None:
        if response is None or len(response.values) != len(live) + 1:
            done(False)
            return
        cameras, *values = response.values
        self.cameras = list(cameras.string_array_value) or [""]
        names = {descriptor.name for descriptor in live}
        found = {
            descriptor.name: parameter_of(descriptor, value, self._camera_of(descriptor.name, names))
            for descriptor, value in zip(live, values, strict=True)
        }
        self.values = {name: _typed(parameter, found) for name, parameter in found.items()}
        done(True)
        self._changed()

    def _camera_of(self, name: str, names: Collection[str]) -> str:
        """Return the camera whose own value a parameter is; a camera may be called `diagnostics`, too."""
        camera, _, shared = name.partition(".")
        return camera if camera in (self.cameras or ()) and shared in names else ""

    def take_event(self, event: ParameterEvent) -> None:
        """Take the changes of an event of the detector."""
        known = {name: value for name, value in _changes(event) if self._fits(name, value)}
        for name, value in known.items():
            self.values[name] = replace(self.values[name], value=page_value(value))
        if known:
            self._changed()

    def _fits(self, name: str, value: ParameterValue) -> bool:
        """Return whether a value may be that of a live parameter; any node can send an event in this name."""
        if name not in self.values or value.type not in SHOWN_TYPES:
            return False
        kind = Kind(value.type).name.lower()
        return NOT_SET in (kind, self.values[name].type) or kind == self.values[name].type


def views_of(parameters: Mapping[str, Parameter], camera: str, size: tuple[int, int]) -> list[Window]:
    """Return the parts of an image that the detector sees; empty: the whole image.

    Empty also for an image that the detector refuses, and for values that it never has: any node can send an event
    in its name.

    Args:
        parameters: Live parameters by their names.
        camera: Name of the camera; those of its own values that are not set follow the detector's.
        size: Width and height of the image in pixels.
    """
    roi, tiles, overlap, regions, whole = (_value(parameters, camera, name) for name in VIEWS)
    try:
        views = Views(Region.of(roi), tuple(tiles), overlap, tuple(map(named_region, regions)), whole)
        return [] if views.is_whole_image else views.windows(*size)
    except (TypeError, ValueError):
        return []


def _value(parameters: Mapping[str, Parameter], camera: str, name: str) -> Any:
    """Return a camera's own value, or that of all cameras; None if there is none."""
    found = (parameters.get(full) for full in (f"{camera}.{name}", name))
    return next((parameter.value for parameter in found if parameter and parameter.value is not None), None)


def _typed(parameter: Parameter, others: Mapping[str, Parameter]) -> Parameter:
    """Return a parameter with its type; a camera's own value that is not set has the type of the shared one."""
    shared = others.get(parameter.name.partition(".")[2])
    return replace(parameter, type=shared.type) if parameter.type == NOT_SET and shared else parameter


def _changes(event: ParameterEvent) -> list[tuple[str, ParameterValue]]:
    """Return the new values of an event; a value that is taken away is deleted, then declared without one."""
    found = (*event.deleted_parameters, *event.new_parameters, *event.changed_parameters)
    return [(parameter.name, parameter.value) for parameter in found]
