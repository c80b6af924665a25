"""ExplainedNode: a node whose parameters are specified once, and whose refusals say why."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from trt_ssd_ros.ros.parameters import ParameterSpec


class ExplainedNode(Node):
    """A node that declares `ParameterSpec`s.

    rclpy refuses a whole number for a parameter that is none, an empty list for a list of texts, and anything it
    does not take with words that help little. Every way to set parameters of a running node comes through here.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._specs: dict[str, ParameterSpec] = {}
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
        return super().set_parameters_atomically(adapted)

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
