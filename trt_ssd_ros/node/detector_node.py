"""DetectorNode: sensor_msgs/Image in, vision_msgs/Detection2DArray out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from std_srvs.srv import SetBool, Trigger

from trt_ssd_ros.engines.backend import open_detector
from trt_ssd_ros.node.batch_choice import BatchChoice
from trt_ssd_ros.node.camera_channel import CameraChannel, ChannelOptions, NewInput
from trt_ssd_ros.node.detection_loop import DetectionLoop
from trt_ssd_ros.node.diagnostics import Health, Readings
from trt_ssd_ros.node.hidden_subscriptions import HiddenSubscriptions
from trt_ssd_ros.node.image_input import ImageInput
from trt_ssd_ros.node.inference_executor import Input
from trt_ssd_ros.node.input_watch import InputWatch
from trt_ssd_ros.node.lifecycle import ManagedNode, answer_later
from trt_ssd_ros.node.opened_model import OpenedModel, OpenEngine
from trt_ssd_ros.node.outputs import LabelInfoOutput
from trt_ssd_ros.node.parameter_table import ANNOTATIONS, IMAGE_RELIABILITY, IMAGE_TRANSPORT, INPUT_TIMEOUT
from trt_ssd_ros.node.settings import (
    DetectionParameters,
    DetectionSettings,
    declare_cameras,
    declare_engine,
    declare_model,
)
from trt_ssd_ros.ros.process import LogBridge, spin_node
from trt_ssd_ros.ros.status_updater import StatusUpdater
from trt_ssd_ros.ros.transport import DEMAND_PERIOD, keep_freed_blocks


class DetectorNode(HiddenSubscriptions, ManagedNode):
    """Lifecycle node that detects in the newest image of each camera.

    A configured node has an engine; an active node also has subscriptions. A dedicated executor
    (inference_executor.py) waits for images in its own thread. An image passes image_input.py, camera_channel.py,
    which counts it, and detection_loop.py, which runs the engine; outputs.py publishes the results. Meanwhile the
    main executor serves parameters, services and diagnostics. Each camera has a channel; without the parameter
    `cameras` there is one, whose topics have no prefix.

    Args:
        open_engine: Function that opens the detector of a card; see `open_detector`.
        new_input: Kind of the cameras' inputs.

    Attributes:
        channels: The cameras.

    Raises:
        ValueError: A parameter or the model card is wrong.
    """

    def __init__(self, open_engine: OpenEngine = open_detector, new_input: NewInput = ImageInput) -> None:
        super().__init__("detector")
        cameras = declare_cameras(self) or [""]
        engine = declare_engine(self)
        self._model = OpenedModel(declare_model(self), engine, open_engine, lambda: self.is_closing)
        self._settings = DetectionParameters(self, self._model.card)
        self._label_info = LabelInfoOutput(self, self._model.card)
        transport, reliability, annotations = map(self.declare, (IMAGE_TRANSPORT, IMAGE_RELIABILITY, ANNOTATIONS))
        self.declare(INPUT_TIMEOUT)
        self.channels = [
            self._new_channel(ChannelOptions(camera, transport, reliability, annotations, new_input))
            for camera in cameras
        ]
        self._loop = DetectionLoop(self.context, self._model, self.fail)
        choice = BatchChoice(lambda: self._model.batch)
        self.inference.listen(self._open_inputs, self._loop.process, choice)
        self._log_bridge = LogBridge(self.get_logger())
        self._log_bridge.open()
        self._health = Health(self)
        self._updater = StatusUpdater(self)
        self._watches = [
            InputWatch(self, camera, self.inference, self._updater.force_update) for camera in self.channels
        ]
        for channel, watch in zip(self.channels, self._watches, strict=True):
            self._updater.add(channel.name or "detector", partial(self._diagnose, channel, watch))
            if channel.name:
                self.create_service(SetBool, f"~/{channel.name}/enable", partial(self._serve_enable, [channel]))
        self._demand = self.call_every(DEMAND_PERIOD, self._follow_demand)
        self._follow_lazy()
        self.create_service(SetBool, "~/enable", partial(self._serve_enable, self.channels))
        answer_later(self.create_service(Trigger, "~/reload", self._serve_reload))
        self.start()

    def _new_channel(self, options: ChannelOptions) -> CameraChannel:
        settings = self._settings
        if options.camera:
            settings = DetectionParameters(self, self._model.card, options.camera)
        card = self._model.card
        channel = CameraChannel(self, settings, card, options, self.inference.wake, self._note_refusal)
        settings.call_when_changed(partial(self._follow_settings, channel))
        return channel

    def destroy_node(self) -> None:
        """Stop the inference thread, which closes the engine, then destroy the node."""
        super().destroy_node()
        self._log_bridge.close()

    def configure(self) -> None:
        """Open or build the engine; see `ManagedNode`."""
        self._open_model()

    def activate(self) -> None:
        """Subscribe; see `ManagedNode`."""
        self._announce()
        self._take_images(self.channels)

    def halt(self) -> None:
        """Unsubscribe and stop publishing; see `ManagedNode`."""
        self._close(self.channels)

    def _close(self, channels: Sequence[CameraChannel]) -> None:
        for channel in channels:
            channel.close()
        self.inference.await_release()
        if self.context.ok():
            for channel in channels:
                channel.update()  # count the images that were not taken before the close
                channel.report()  # not after a shutdown of ROS, when /rosout refuses it with an error line

    def release(self) -> None:
        """Close the engine; see `ManagedNode`."""
        self._model.close()
        self._updater.setHardwareID("none")

    def _open_model(self) -> None:
        views = sum(channel.settings.current.views.count for channel in self.channels)
        detector = self._model.open(len(self.channels), views)
        self._updater.setHardwareID(detector.engine_name)
        keep_freed_blocks()

    def _open_inputs(self) -> list[Input]:
        """Return the inputs that the executor waits for."""
        return [opened for channel in self.channels if (opened := channel.input.opened) is not None]

    def _take_images(self, channels: Sequence[CameraChannel]) -> None:
        """Subscribe to the cameras that are enabled and whose results are wanted."""
        for channel, watch in zip(self.channels, self._watches, strict=True):
            if channel not in channels or not channel.enabled:
                continue
            described = f"{self._model.described}, waiting for"
            if not self._is_wanted(channel):
                channel.logger.info(f"{described} a subscriber of the results (lazy)")
            elif not channel.is_open:
                channel.open()
                watch.restart()
                channel.logger.info(f"{described} images {channel.input.origin}")

    def _is_wanted(self, channel: CameraChannel) -> bool:
        settings = channel.settings.current
        return not settings.lazy or channel.outputs.are_wanted(settings)

    def _follow_lazy(self) -> None:
        """Look for subscribers of the results again and again if a camera is lazy; else they do not matter."""
        if not any(channel.settings.current.lazy for channel in self.channels):
            self._demand.cancel()
            self._follow_demand()
        elif self._demand.is_canceled():
            self._demand.reset()

    def _follow_demand(self) -> None:
        """Open the cameras whose results are wanted, and close the others."""
        if self.state != "active" or self.is_closing:
            return
        enabled = [channel for channel in self.channels if channel.enabled]
        changed = [channel for channel in enabled if self._is_wanted(channel) != channel.is_open]
        unwanted = [channel for channel in changed if channel.is_open]
        if unwanted:
            self._close(unwanted)
        if changed:
            self._take_images(changed)

    def _note_refusal(self, reason: str) -> None:
        self.last_error = reason

    def _serve_enable(
        self, channels: Sequence[CameraChannel], request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        """Start or stop detection; in other states than active, from the next activation on."""
        for channel in channels:
            channel.enabled = request.data
        if not request.data:
            self._close(channels)
        elif self.state == "active" and not self.is_closing:
            self._take_images(channels)
        response.success = True
        response.message = f"{'enabled' if request.data else 'disabled'}, {self.state}"
        return response

    def _serve_reload(self, _: Trigger.Request, response: Trigger.Response) -> Future[Trigger.Response]:
        """Reopen the model in the inference thread, then respond; images wait meanwhile."""

        def reload() -> Trigger.Response:
            reason = self._reload()
            response.success = not reason
            response.message = reason or f"reloaded {self._model.described}"
            return response

        return self.inference.submit(reload)

    def _reload(self) -> str:
        """Reopen the model; if that fails, keep the old one and return the reason."""
        if self._model.detector is None:
            return f"reload is refused in state {self.state}: configure the node first"
        reason = self.failure_of(self._open_model)
        if not reason:
            self.get_logger().info(f"reloaded {self._model.described}")
            return ""
        self.last_error = f"reload failed, the old model stays in use: {reason}"
        self.get_logger().error(self.last_error)
        return self.last_error

    def _follow_settings(self, channel: CameraChannel, before: DetectionSettings) -> None:
        self.inference.wake()  # a new max_rate may admit an image at once
        self._follow_lazy()
        settings = channel.settings.current
        views = settings.views.count
        if views not in (1, before.views.count):
            channel.logger.info(
                f"{views} views of an image, resized on the host; a reload opens an engine for batches of them"
            )
        if self.state == "active" and before.thresholds != settings.thresholds:
            self._announce()

    def _announce(self) -> None:
        self._label_info.announce(min(channel.settings.current.thresholds.lowest for channel in self.channels))

    def _diagnose(self, channel: CameraChannel, watch: InputWatch, status: Any) -> Any:
        if self._model.detector is not None and channel is self.channels[0]:
            self.inference.submit(lambda: self._loop.attempt(self._model.measure_memory))
        return self._health.fill(status, self._readings(channel, watch))

    def _readings(self, channel: CameraChannel, watch: InputWatch) -> Readings:
        readings = Readings(
            state=self.state,
            taking=channel.is_open,
            enabled=channel.enabled,
            idle=self.state == "active" and channel.enabled and not channel.is_open,
            doing=self._model.doing,
            input_rate=channel.recent.rate("received"),
            output_rate=channel.recent.rate("processed"),
            dropped=channel.recent.dropped(),
            counts=channel.counts,
            tracks=channel.tracking.tracks,
            untracked=channel.tracking.problem,
            times=channel.times.percentiles(),
            finding=watch.alert,
            last_error=self.last_error,
        )
        detector = self._model.detector
        if detector is None:
            return readings
        return replace(
            readings,
            engine=detector.engine_name,
            precision=detector.precision,
            resize_on=detector.resize_on,
            degraded=detector.degraded,
            gpu_memory=self._model.gpu_memory,
            cpu_threads=self._model.cpu_threads,
            detector=detector.counts,
        )


def main(args: Sequence[str] | None = None) -> int:
    """Run the detector node."""
    return spin_node(DetectorNode, args)


if __name__ == "__main__":
    sys.exit(main())
