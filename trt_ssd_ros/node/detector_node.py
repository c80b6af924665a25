"""The detector node: sensor_msgs/Image in, vision_msgs/Detection2DArray out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from diagnostic_updater import Updater
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from trt_ssd_ros.engines.backend import open_detector
from trt_ssd_ros.node.detection_loop import DetectionLoop
from trt_ssd_ros.node.diagnostics import Health, Readings, RecentCounts
from trt_ssd_ros.node.image_input import ImageInput
from trt_ssd_ros.node.input_doctor import InputWatch
from trt_ssd_ros.node.lifecycle import ManagedNode, answer_later
from trt_ssd_ros.node.messages import nanoseconds
from trt_ssd_ros.node.opened_model import OpenedModel, OpenEngine
from trt_ssd_ros.node.outputs import ResultPublisher
from trt_ssd_ros.node.parameter_table import ANNOTATIONS, IMAGE_TRANSPORT
from trt_ssd_ros.node.settings import DetectionParameters, declare_engine, declare_model
from trt_ssd_ros.ros.process import LogBridge, spin_node
from trt_ssd_ros.ros.transport import keep_freed_blocks


class DetectorNode(ManagedNode):
    """Detects in the newest image there is, in a thread of its own.

    Configured it has an engine, active it has a subscription. The image callback only puts the message into a
    slot; the inference thread takes it from there, runs the engine and publishes, so that parameters, services
    and diagnostics are answered meanwhile.

    Args:
        open_engine: Opens the detector of a card; as `open_detector`.

    Raises:
        ValueError: A parameter or the model card is wrong.
    """

    def __init__(self, open_engine: OpenEngine = open_detector) -> None:
        super().__init__("detector")
        model = declare_model(self)
        self._model = OpenedModel(model, declare_engine(self), open_engine, lambda: self.is_leaving)
        self._settings = DetectionParameters(self, self._model.card)
        self._results = ResultPublisher(self, self._model.card.labels, self.declare(ANNOTATIONS))
        self._loop = DetectionLoop(
            self, self.inference, self._model, self._settings, self._results, self._note_refusal, self.fail
        )
        self._input = ImageInput(self, self._receive, self.declare(IMAGE_TRANSPORT))
        self._newest_time = 0
        self._log_bridge = LogBridge(self.get_logger())
        self._log_bridge.open()
        self.declare_parameter("diagnostic_updater.use_fqn", self.get_namespace() != "/")
        self._health = Health(self)
        self._recent = RecentCounts()
        self._updater = Updater(self)
        self._updater.setHardwareID("none")
        self._updater.add("detector", self._diagnose)
        self._watch = InputWatch(self, self._input, self._loop, self._updater.force_update)
        self._settings.call_when_thresholds_change(self._announce_thresholds)
        self._enabled = True
        self.create_service(SetBool, "~/enable", self._serve_enable)
        answer_later(self.create_service(Trigger, "~/reload", self._serve_reload))
        self.start()

    def destroy_node(self) -> None:
        """End the inference thread, which closes the engine, then the node."""
        super().destroy_node()
        self._log_bridge.close()

    def configure(self) -> None:
        """Open or build the engine; see `ManagedNode`."""
        self._open_model()

    def activate(self) -> None:
        """Subscribe; see `ManagedNode`."""
        self._results.announce(self._settings.current)
        if self._enabled:
            self._take_images()

    def halt(self) -> None:
        """Unsubscribe and publish nothing more; see `ManagedNode`."""
        self._input.close()
        self._loop.close()

    def release(self) -> None:
        """Close the engine; see `ManagedNode`."""
        self._model.close()
        self._updater.setHardwareID("none")

    def _open_model(self) -> None:
        detector = self._model.open()
        self._updater.setHardwareID(detector.engine_name)
        keep_freed_blocks()

    def _take_images(self) -> None:
        self._loop.open()
        self._input.open()
        self._watch.restart()
        detector = self._model.detector
        assert detector is not None, "an active node is configured"
        self.get_logger().info(
            f"{self._model.card.name} on {detector.engine_name}, waiting for images on {self._input.topic}"
        )

    def _receive(self, message: Image) -> None:
        now = self.get_clock().now().nanoseconds
        if now < self._newest_time:
            self._begin_anew((self._newest_time - now) / 1e9)
        self._newest_time = now
        self._watch.note(nanoseconds(message.header.stamp), now)
        self._loop.receive(message, now)

    def _begin_anew(self, seconds: float) -> None:
        """Forget the times of a clock that went back, as when a bag loops."""
        self.get_logger().info(f"the clock went back by {seconds:.3g} s: ages and rates begin anew")
        self._loop.times.clear()
        self._recent.clear()
        self._watch.forget_stamps()

    def _note_refusal(self, reason: str) -> None:
        self.last_error = reason

    def _serve_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Begin or stop to detect, if the node is active; else only once it will be."""
        self._enabled = request.data
        if not self._enabled:
            self.halt()
        elif self.state == "active" and not self._input.is_open:
            self._take_images()
        response.success = True
        response.message = f"{'enabled' if self._enabled else 'disabled'}, {self.state}"
        return response

    def _serve_reload(self, _: Trigger.Request, response: Trigger.Response) -> Future[Trigger.Response]:
        """Open the model again in the inference thread, and answer then; images wait meanwhile."""

        def reload() -> Trigger.Response:
            response.message = self._reload()
            response.success = not response.message
            return response

        return self.inference.submit(reload)

    def _reload(self) -> str:
        """Open the model again; return why it could not be, in which case the old one goes on."""
        if self._model.detector is None:
            return f"reload is refused in state {self.state}: configure the node, which opens the model"
        reason = self.failure_of(self._open_model)
        if not reason:
            return ""
        self.last_error = f"not reloaded, the model that was open goes on: {reason}"
        self.get_logger().error(self.last_error)
        return self.last_error

    def _announce_thresholds(self) -> None:
        if self.state == "active":
            self._results.announce(self._settings.current)

    def _diagnose(self, status: Any) -> Any:
        self._loop.counts.lost = self._input.lost
        self._recent.add(self.get_clock().now().nanoseconds / 1e9, self._loop.counts)
        if self._model.detector is not None:
            self._loop.submit(self._model.measure_memory)
        return self._health.fill(status, self._readings())

    def _readings(self) -> Readings:
        readings = Readings(
            state=self.state,
            taking=self._input.is_open,
            doing=self._model.doing,
            input_rate=self._recent.rate("received"),
            output_rate=self._recent.rate("processed"),
            dropped=self._recent.dropped(),
            counts=self._loop.counts,
            times=self._loop.times.percentiles(),
            finding=self._watch.complaint,
            last_error=self.last_error,
        )
        detector = self._model.detector
        if detector is None:
            return readings
        return replace(
            readings,
            engine=detector.engine_name,
            precision=detector.precision,
            gpu_memory=self._model.gpu_memory,
            detector=detector.counts,
        )


def main(args: Sequence[str] | None = None) -> int:
    """Run the detector node."""
    return spin_node(DetectorNode, args)


if __name__ == "__main__":
    sys.exit(main())
