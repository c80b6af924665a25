"""Conversion of ROS messages to the values of the page's protocol, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterDescriptor, ParameterValue
from rclpy.parameter import Parameter as RosParameter
from rclpy.parameter import parameter_value_to_python
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray, LabelInfo

from trt_ssd_ros.ros.parameters import Kind
from trt_ssd_ros.web.matching import Distances, box_key
from trt_ssd_ros.web.protocol import LEVELS, Box, CameraStatus, Figures, Parameter

LARGEST_INTEGER = 2**63 - 1
MAX_COLUMNS = 10_000
"""Largest span of class ids with a place for each; a wider one is from another detector."""
SHOWN_TYPES = frozenset(kind.value for kind in Kind) - {Kind.BYTE_ARRAY.value}
"""Types of parameters that JSON has values for."""
_UNFIT = re.compile("[\\0\\ud800-\\udfff]")
"""Characters of JSON that a ROS string cannot have: it ends at a NUL, and is UTF-8."""
CHOICES = "one of "
"""Begin of `additional_constraints` of a parameter with choices; see `ParameterSpec.descriptor`."""


def labels_of(message: LabelInfo) -> list[str]:
    """Return the class names in the order of the model's columns; empty for a column without a class.

    The page colours a class by its column, as `detection/draw.py` does. The first column has the lowest class id.
    """
    names = {item.class_id: item.class_name for item in message.class_map}
    numbers = range(min(names, default=0), max(names, default=-1) + 1)
    return [names.get(number, "") for number in numbers] if len(numbers) <= MAX_COLUMNS else list(names.values())


def boxes_of(message: Detection2DArray) -> list[Box]:
    """Return the boxes of the detections of one image."""
    return [_box(detection) for detection in message.detections]


def _box(detection: Detection2D) -> Box:
    label, score = _best(detection.results)
    box = detection.bbox
    # vision_msgs of Humble and newer; the centre is a Pose2D with a Point2D.
    x, y = box.center.position.x, box.center.position.y
    return Box(x - box.size_x / 2, y - box.size_y / 2, box.size_x, box.size_y, label, score, detection.id)


def _best(results: Sequence[Any]) -> tuple[str, float]:
    """Return the class and the score of the best hypothesis; empty and 0 if there is none."""
    best = max((result.hypothesis for result in results), key=lambda found: found.score, default=None)
    return ("", 0.0) if best is None else (best.class_id, best.score)


def distances_of(message: Detection3DArray) -> Distances:
    """Return the distances from the camera in metres of the objects of one image, by `box_key`."""
    found = {}
    for detection in message.detections:
        place = detection.bbox.center.position
        distance = math.hypot(place.x, place.y, place.z)
        found[box_key(*_best(detection.results), detection.id)] = distance
    return found


def status_of(message: DiagnosticArray, name: str) -> DiagnosticStatus | None:
    """Return the newest status of a name in /diagnostics; None if there is none."""
    found = [status for status in message.status if status.name == name]
    return found[-1] if found else None


def camera_status(camera: str, status: DiagnosticStatus, stale: bool) -> CameraStatus:
    """Return the status of a camera.

    Args:
        camera: Name of the camera.
        status: Its status in /diagnostics.
        stale: Whether the status is old.
    """
    values = {item.key: item.value for item in status.values}
    level = LEVELS[-1] if stale else LEVELS[min(status.level[0], len(LEVELS) - 1)]
    enabled = {"true": True, "false": False}.get(values.get("enabled", ""))
    return CameraStatus(camera, level, status.message, enabled, _figures(values), values)


def _figures(values: Mapping[str, str]) -> Figures:
    return Figures(
        latency_p50_ms=_number(values.get("latency p50 ms")),
        latency_p99_ms=_number(values.get("latency p99 ms")),
        input_hz=_number(values.get("input Hz")),
        output_hz=_number(values.get("output Hz")),
        processed=_count(values.get("processed")),
        dropped=_count(values.get("dropped")),
        refused=_count(values.get("refused")),
        tracks=_count(values.get("tracks")),
        engine=values.get("engine"),
        precision=values.get("precision"),
    )


def _number(text: str | None) -> float | None:
    """Return a value of /diagnostics as a number; None if it is missing or unknown."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _count(text: str | None) -> int | None:
    """Return a value of /diagnostics as a count; None if it is missing, unknown or larger than any counter."""
    return int(text) if text and re.fullmatch("[0-9]{1,19}", text) else None


def parameter_of(descriptor: ParameterDescriptor, value: ParameterValue, camera: str) -> Parameter:
    """Return a parameter of the page.

    Args:
        descriptor: Descriptor of the parameter.
        value: Value of the parameter.
        camera: Camera whose own value it is; empty: none.
    """
    ranges = (*descriptor.floating_point_range, *descriptor.integer_range)
    constraints = descriptor.additional_constraints
    return Parameter(
        name=descriptor.name,
        camera=camera,
        type=Kind(descriptor.type).name.lower(),
        value=page_value(value),
        lowest=ranges[0].from_value if ranges else None,
        highest=ranges[0].to_value if ranges else None,
        choices=constraints.removeprefix(CHOICES).split(", ") if constraints.startswith(CHOICES) else (),
        description=descriptor.description,
    )


def page_value(value: ParameterValue) -> Any:
    """Return the value of a parameter for the page; None if it is not set, or of no type in SHOWN_TYPES."""
    if value.type not in SHOWN_TYPES:
        return None
    found = parameter_value_to_python(value)
    return found if found is None or isinstance(found, bool | int | float | str) else list(found)


def parameter_message(name: str, kind: str, value: Any) -> ParameterMsg:
    """Return the message that sets a parameter to a value of the page.

    The detector checks the value and converts whole numbers.

    Args:
        name: Name of the parameter.
        kind: Type of the parameter, as in `Parameter.type`; it is the type of an empty list.
        value: Value from JSON; None: no value.

    Raises:
        ValueError: No ROS parameter has such a value.
    """
    if isinstance(value, list) and not value:
        return RosParameter(name, getattr(Kind, kind.upper()), []).to_parameter_msg()
    items = value if isinstance(value, list) else [value]
    kinds = {type(item) for item in items}
    if any(isinstance(item, int) and abs(item) > LARGEST_INTEGER for item in items):
        raise ValueError(f"{name}: found {str(value)[:60]}, expected numbers of at most 64 bits")
    if kinds == {int, float}:
        items, kinds = [float(item) for item in items], {float}
    if not (value is None or (len(kinds) == 1 and kinds <= {bool, int, float, str})):
        raise ValueError(f"{name}: found {str(value)[:60]}, expected a value, or a list of values of one type")
    if kinds == {str} and any(_UNFIT.search(item) for item in items):
        raise ValueError(f"{name}: found {str(value)[:60]!r}, expected text without NUL and surrogates")
    given = items if isinstance(value, list) else items[0]
    return RosParameter(name, value=given).to_parameter_msg()
