"""ParameterSpec: specification of one parameter; ParameterNode: a node that declares and checks parameters."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from trt_ssd_ros.ros.overrides import near_names, unknown

Kind = Parameter.Type

KIND_NAMES = {
    Kind.BOOL: "true or false",
    Kind.INTEGER: "a whole number",
    Kind.DOUBLE: "a number",
    Kind.STRING: "a string",
    Kind.DOUBLE_ARRAY: "a list of numbers",
    Kind.INTEGER_ARRAY: "a list of whole numbers",
    Kind.STRING_ARRAY: "a list of strings",
}


@dataclass(frozen=True)
class ParameterSpec:
    """Specification of one parameter.

    Attributes:
        name: Name for `ros2 param set`.
        kind: Parameter type.
        default: Default value; None: `with_default` sets it before the declaration.
        description: Description with unit.
        lowest: Smallest value of a number.
        highest: Largest value of a number.
        choices: Allowed strings; empty: any string.
        fixed: Reason why the parameter cannot change while the node runs; empty: it can.
        default_is: Description of the default if `default` is None.
        optional: Whether the parameter may have no value.
    """

    name: str
    kind: Kind
    default: Any
    description: str
    lowest: float = -math.inf
    highest: float = math.inf
    choices: Sequence[str] = ()
    fixed: str = ""
    default_is: str = ""
    optional: bool = False

    def for_camera(self, camera: str) -> ParameterSpec:
        """Return the specification of a camera's own value, which may be missing."""
        description = f"{self.name} of the camera {camera}; not set: as {self.name}"
        return replace(self, name=f"{camera}.{self.name}", default=None, description=description, optional=True)

    def with_default(self, default: Any, highest: float | None = None) -> ParameterSpec:
        """Return a copy with another default and, if given, another largest value."""
        return replace(self, default=default, highest=self.highest if highest is None else highest)

    @property
    def range(self) -> str:
        """Allowed values as text, e.g. `0 to 1`; empty if the type is the only limit."""
        if self.choices:
            return " | ".join(self.choices)
        return f"{self.lowest:g} to {self.highest:g}" if math.isfinite(self.highest) else ""

    def descriptor(self) -> ParameterDescriptor:
        """Return the ROS descriptor of the parameter."""
        described = ParameterDescriptor(name=self.name, type=self.kind.value, description=self.description)
        described.read_only, described.dynamic_typing = bool(self.fixed), self.optional
        if self.choices:
            described.additional_constraints = f"one of {', '.join(self.choices)}"
        elif self.kind == Kind.DOUBLE and math.isfinite(self.highest):
            described.floating_point_range = [FloatingPointRange(from_value=self.lowest, to_value=self.highest)]
        elif self.kind == Kind.INTEGER and math.isfinite(self.highest):
            described.integer_range = [
                IntegerRange(from_value=int(self.lowest), to_value=int(self.highest), step=1)
            ]
        return described

    def adapt(self, parameter: Parameter) -> Parameter:
        """Return the parameter with its value converted to this type, if the conversion is unambiguous.

        The command line tools of ROS turn `1`, `[]` and `[0, 0.5]` into other types than these parameters have.

        Raises:
            ValueError: The value has another type or is out of range; the message names what was expected.
        """
        if self.optional and parameter.type_ == Kind.NOT_SET:
            return parameter
        value = _CONVERTERS.get(self.kind, _unchanged)(parameter.value)
        if not self.kind.check(value) or (self.kind == Kind.INTEGER and isinstance(value, bool)):
            self._refuse(value)
        if self.choices and value not in self.choices:
            self._refuse(value)
        if self.kind in (Kind.INTEGER, Kind.DOUBLE) and not self.lowest <= value <= self.highest:
            self._refuse(value)
        return Parameter(self.name, self.kind, value)

    def _refuse(self, value: Any) -> None:
        found = "nothing" if value is None else repr(list(value) if isinstance(value, array) else value)
        limits = f" from {self.range}" if self.kind in (Kind.INTEGER, Kind.DOUBLE) and self.range else ""
        expected = f"one of {', '.join(self.choices)}" if self.choices else KIND_NAMES[self.kind] + limits
        raise ValueError(f"{self.name}: found {found}, expected {expected}")


def check_camera_names(names: Sequence[str]) -> None:
    """Check the names of a detector's cameras.

    Raises:
        ValueError: A name is no ROS name, or is there twice.
    """
    for name in names:
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or "__" in name:  # rcl's remapping rules take no __
            raise ValueError(
                f"cameras: found {name!r}, expected letters, digits and single _, and a letter at the start: its "
                "topics begin with the name"
            )
        if names.count(name) > 1:
            raise ValueError(f"cameras: found {name!r} twice, expected different names")


def _unchanged(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    """Convert an integer to a float."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _numbers(value: Any) -> Any:
    """Convert integers, and the string that `ros2 param set` makes of a list with integers and floats."""
    if isinstance(value, str):
        try:
            return [float(number) for number in value.strip(" []").split(",")]
        except ValueError:
            return value
    return [_number(number) for number in value] if isinstance(value, (list, tuple, array)) else value


def _texts(value: Any) -> Any:
    """Convert an empty list, which has no type in ROS, and a string without a list."""
    if value is None or (isinstance(value, (str, list, tuple, array)) and not len(value)):
        return []
    return [value] if isinstance(value, str) else value


_CONVERTERS = {Kind.DOUBLE: _number, Kind.DOUBLE_ARRAY: _numbers, Kind.STRING_ARRAY: _texts}


class ParameterNode(Node):
    """Node that declares `ParameterSpec`s, converts values, and explains refusals.

    rclpy refuses an integer for a float parameter and an empty list for a list of strings, and its messages are of
    little help. All ways to set parameters of a running node end in the two set methods below.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._specs: dict[str, ParameterSpec] = {}
        self._after_set: list[Callable[[], None]] = []
        super().__init__(*arguments, **options)

    def declare(self, spec: ParameterSpec) -> Any:
        """Declare a parameter and return its value.

        Raises:
            ValueError: The value at the start does not fit; the message names what was expected.
        """
        return self._declare(spec, ignore_override=False)

    def _declare(self, spec: ParameterSpec, ignore_override: bool) -> Any:
        dynamic = ParameterDescriptor(dynamic_typing=True)
        adapted = spec.adapt(self.declare_parameter(spec.name, spec.default, dynamic, ignore_override))
        self.set_descriptor(spec.name, spec.descriptor(), adapted.get_parameter_value())
        self._specs[spec.name] = spec
        return adapted.value

    def check_overrides(self) -> None:
        """Check that the command line gives values to existing parameters only; log the doubtful ones.

        Subclasses call it once their parameters are declared: rclpy ignores values of other parameters silently.

        Raises:
            ValueError: A parameter of this node does not exist; the message suggests similar names.
        """
        if not self._parameter_overrides:
            return
        errors, warnings = unknown(sys.argv, self.get_fully_qualified_name(), self._parameters, self._specs)
        if errors:
            raise ValueError("; ".join(errors))
        for warning in warnings:
            self.get_logger().warning(f"ignored: {warning}")

    def call_after_set(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs after each successful set, before the response is sent.

        rclpy of Humble has no post-set callback.
        """
        self._after_set.append(callback)

    def set_parameters(self, parameter_list: list[Parameter]) -> list[SetParametersResult]:
        """Set parameters one by one; see `rclpy.node.Node.set_parameters`."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set all parameters or none; see `rclpy.node.Node.set_parameters_atomically`.

        Raises:
            ParameterNotDeclaredException: The parameter does not exist; the message suggests similar names.
        """
        unknown = [parameter.name for parameter in parameter_list if not self.has_parameter(parameter.name)]
        if unknown:
            raise ParameterNotDeclaredException([self._with_near_names(name) for name in unknown])
        try:
            adapted = [self._adapt(parameter) for parameter in parameter_list]
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        result = super().set_parameters_atomically(adapted)
        for parameter in adapted:
            if not self.has_parameter(parameter.name):  # rclpy removes a parameter whose value is taken away
                self._declare(self._specs[parameter.name], ignore_override=True)
        for callback in self._after_set if result.successful else ():
            callback()
        return result

    def _with_near_names(self, name: str) -> str:
        near = near_names(name, self._specs)
        return f"{name} ({near})" if near else name

    def _adapt(self, parameter: Parameter) -> Parameter:
        spec = self._specs.get(parameter.name)
        if spec is None:
            return parameter
        if spec.fixed:
            restart = f"restart the node with -p {spec.name}:={parameter.value}"
            raise ValueError(f"{spec.name} is read-only while the node runs: {spec.fixed}; {restart}")
        return spec.adapt(parameter)
