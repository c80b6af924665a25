"""Sets and gets the parameters of a node over DDS, many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from probe import RESPONSE_PATIENCE, Probe
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter, parameter_value_to_python

try:
    from rclpy.parameter import get_parameter_value
except ImportError:  # Humble
    from ros2param.api import get_parameter_value


class ParameterClient:
    """The parameter services of one node."""

    def __init__(self, probe: Probe, node: str = "detector") -> None:
        self._probe = probe
        self._clients = {
            kind: probe.node.create_client(kind, f"{node}/{service}")
            for kind, service in (
                (GetParameters, "get_parameters"),
                (SetParameters, "set_parameters"),
                (SetParametersAtomically, "set_parameters_atomically"),
            )
        }

    def set_together(self, values: Mapping[str, Any]) -> SetParametersResult:
        """Set all or none."""
        return self._call(SetParametersAtomically, parameters=_messages(values)).result

    def set_one_by_one(self, values: Mapping[str, Any]) -> Sequence[SetParametersResult]:
        """Set each of them or not, in one call."""
        return self._call(SetParameters, parameters=_messages(values)).results

    def set_text(self, name: str, text: str) -> SetParametersResult:
        """Set what `ros2 param set` makes of a text."""
        message = ParameterMsg(name=name, value=get_parameter_value(string_value=text))
        return self._call(SetParameters, parameters=[message]).results[0]

    def get(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the values of parameters."""
        values = self._call(GetParameters, names=list(names)).values
        return {name: parameter_value_to_python(value) for name, value in zip(names, values, strict=True)}

    def _call(self, kind: Any, **fields: Any) -> Any:
        client = self._clients[kind]
        self._probe.spin_until(client.service_is_ready, client.srv_name)
        future = client.call_async(kind.Request(**fields))
        if not self._probe.happens(future.done, RESPONSE_PATIENCE):
            future = client.call_async(
                kind.Request(**fields)
            )  # see Probe.call; a second call sets the same values
        self._probe.spin_until(future.done, f"the answer of {client.srv_name}")
        return future.result()


def _messages(values: Mapping[str, Any]) -> list[ParameterMsg]:
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
