"""Control: executes the commands of viewers, if they may change the detector."""

from __future__ import annotations

from concurrent.futures import Future

from rcl_interfaces.srv import SetParameters
from std_srvs.srv import SetBool

from trt_ssd_ros.web.live_parameters import LiveParameters
from trt_ssd_ros.web.messages import parameter_message
from trt_ssd_ros.web.protocol import Answer, Command, Enable, SetParameter
from trt_ssd_ros.web.services import Services

READ_ONLY = "this page only shows: start the web node with control:=true (web_control:=true of the launch file)"


class Control:
    """Executor of commands; all calls are made in the thread of the ROS executor.

    The detector decides about each value; its words are the answer.

    Args:
        services: Services of the detector.
        detector: Full name of the detector, for messages.
        parameters: Parameters of the detector.
        allowed: Whether viewers may change the detector.
    """

    def __init__(self, services: Services, detector: str, parameters: LiveParameters, allowed: bool) -> None:
        self._services = services
        self._parameters = parameters
        self._allowed = allowed
        self._silent = Answer(False, f"{detector} does not answer: see whether it runs")
        services.add(SetParameters, "set_parameters")
        services.add(SetBool, "enable")

    def follow_cameras(self) -> None:
        """Look for the services of the cameras; call it after the parameters have been read."""
        for camera in filter(None, self._parameters.cameras or ()):
            self._services.add(SetBool, f"{camera}/enable")

    def execute(self, command: Command, answer: Future[Answer]) -> None:
        """Execute a command.

        Args:
            command: Command of a viewer.
            answer: Future that gets the answer.
        """
        if not self._allowed:
            answer.set_result(Answer(False, READ_ONLY))
            return
        try:
            if isinstance(command, SetParameter):
                self._set(command, answer)
            else:
                self._enable(command, answer)
        except ValueError as error:
            answer.set_result(Answer(False, str(error)))

    def _set(self, command: SetParameter, answer: Future[Answer]) -> None:
        known = self._parameters.values.get(command.parameter)
        if known is None:
            raise ValueError(f"found {command.parameter[:60]!r}, expected a parameter that can change at runtime")
        message = parameter_message(known.name, known.type, command.value)

        def take(response: SetParameters.Response | None) -> None:
            if response is None or not response.results:
                answer.set_result(self._silent)
            else:
                answer.set_result(Answer(response.results[0].successful, response.results[0].reason))

        self._services.call("set_parameters", SetParameters.Request(parameters=[message]), take)

    def _enable(self, command: Enable, answer: Future[Answer]) -> None:
        if command.camera and command.camera not in (self._parameters.cameras or ()):
            raise ValueError(f"found {command.camera[:60]!r}, expected the name of a camera, or none for all")

        def take(response: SetBool.Response | None) -> None:
            if response is None:
                answer.set_result(self._silent)
            else:
                answer.set_result(Answer(response.success, response.message))

        service = f"{command.camera}/enable" if command.camera else "enable"
        self._services.call(service, SetBool.Request(data=command.value), take)
