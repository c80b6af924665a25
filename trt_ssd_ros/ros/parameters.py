"""ParameterSpec: one parameter, specified once; ExplainedNode: a node that declares them and explains refusals."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

Kind = Parameter.Type

KIND_NAMES = {
    Kind.BOOL: "true or false",
    Kind.INTEGER: "a whole number",
    Kind.DOUBLE: "a number",
    Kind.STRING: "a text",
    Kind.DOUBLE_ARRAY: "a list of numbers",
    Kind.STRING_ARRAY: "a list of texts",
}


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its type, default and bounds, and what it means.

    Attributes:
        name: As in `ros2 param set`.
        kind: Its type.
        default: Its value where nobody sets one; None: somebody who knows more fills it in by `with_default`.
        description: What it does, with its unit.
        lowest: Smallest value of a number.
        highest: Largest value of a number.
        choices: The only texts allowed; none: any.
        fixed: Why it cannot change while the node runs; empty: it can.
        default_is: What `default` will be, in words, if it is None.
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

    def with_default(self, default: Any, highest: float | None = None) -> ParameterSpec:
        """Return the same parameter with another default, and perhaps another largest value."""
        return replace(self, default=default, highest=self.highest if highest is None else highest)

    @property
    def range(self) -> str:
        """What a value has to be beyond its type, in words; may be empty."""
        if self.choices:
            return " | ".join(self.choices)
        return f"{self.lowest:g} to {self.highest:g}" if math.isfinite(self.highest) else ""

    def descriptor(self) -> ParameterDescriptor:
        """Return what ROS tells others about it."""
        described = ParameterDescriptor(name=self.name, type=self.kind.value, description=self.description)
        described.read_only = bool(self.fixed)
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
        """Return a parameter as one of this type, if its value can be read as that without a doubt.

        What ROS's command line tools make of `1`, `[]` or `[0, 0.5]` is not what they are meant to be here.

        Raises:
            ValueError: Its value is of another type or out of range; says what was found and what was expected.
        """
        value = _READINGS.get(self.kind, _as_it_is)(parameter.value)
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


def _as_it_is(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    """Read 1 as 1.0."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _numbers(value: Any) -> Any:
    """Read whole numbers, and the text that `ros2 param set` makes of whole and other numbers in one list."""
    if isinstance(value, str):
        try:
            return [float(number) for number in value.strip(" []").split(",")]
        except ValueError:
            return value
    return [_number(number) for number in value] if isinstance(value, (list, tuple, array)) else value


def _texts(value: Any) -> Any:
    """Read a list without a type, which is what an empty one is, and a text outside of a list."""
    if value is None or (isinstance(value, (str, list, tuple, array)) and not len(value)):
        return []
    return [value] if isinstance(value, str) else value


_READINGS = {Kind.DOUBLE: _number, Kind.DOUBLE_ARRAY: _numbers, Kind.STRING_ARRAY: _texts}


class ExplainedNode(Node):
    """A node that declares `ParameterSpec`s.

    rclpy refuses a whole number for a parameter that is none, an empty list for a list of texts, and anything it
    does not take with words that help little. Every way to set parameters of a running node comes through here.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._specs: dict[str, ParameterSpec] = {}
        self._after_set: list[Callable[[], None]] = []
        super().__init__(*arguments, **options)

    def declare(self, spec: ParameterSpec) -> Any:
        """Declare a parameter and return its value.

        Raises:
            ValueError: It was set to something else than `spec` wants; says what was found and what was expected.
        """
        as_set = self.declare_parameter(spec.name, spec.default, ParameterDescriptor(dynamic_typing=True))
        adapted = spec.adapt(as_set)
        self.set_descriptor(spec.name, spec.descriptor(), adapted.get_parameter_value())
        self._specs[spec.name] = spec
        return adapted.value

    def call_after_set(self, callback: Callable[[], None]) -> None:
        """Call back whenever parameters were set, before the answer is sent; Humble's rclpy cannot."""
        self._after_set.append(callback)

    def set_parameters(self, parameter_list: list[Parameter]) -> list[SetParametersResult]:
        """Set parameters one by one; see `rclpy.node.Node.set_parameters`."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set all parameters or none; see `rclpy.node.Node.set_parameters_atomically`.

        Raises:
            ParameterNotDeclaredException: There is no such parameter; names those that are near.
        """
        unknown = [parameter.name for parameter in parameter_list if not self.has_parameter(parameter.name)]
        if unknown:
            raise ParameterNotDeclaredException([self._with_near_names(name) for name in unknown])
        try:
            adapted = [self._adapt(parameter) for parameter in parameter_list]
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        result = super().set_parameters_atomically(adapted)
        for callback in self._after_set if result.successful else ():
            callback()
        return result

    def _with_near_names(self, name: str) -> str:
        near = get_close_matches(name, self._specs)
        return f"{name} (perhaps {' or '.join(near)})" if near else name

    def _adapt(self, parameter: Parameter) -> Parameter:
        spec = self._specs.get(parameter.name)
        if spec is None:
            return parameter
        if spec.fixed:
            restart = f"restart the node with -p {spec.name}:={parameter.value}"
            raise ValueError(f"{spec.name} is read-only while the node runs: {spec.fixed}; {restart}")
        return spec.adapt(parameter)
