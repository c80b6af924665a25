"""LocatorNode: from detections and depth images to objects in metres; docs/objects.md."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import cv2
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.depth.frames import Frames
from trt_ssd_ros.depth.inputs import Input
from trt_ssd_ros.depth.located_frame import UnlocatedError
from trt_ssd_ros.depth.locator import CalibratedCamera, Locator
from trt_ssd_ros.depth.matching import StampBuffer
from trt_ssd_ros.depth.outputs import Outputs
from trt_ssd_ros.depth.parameters import FIXED, LocatorParameters
from trt_ssd_ros.depth.report import LocatorReport
from trt_ssd_ros.ros.process import FailableNode, spin_node, unless_shut_down
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.ros.status_updater import StatusUpdater
from trt_ssd_ros.ros.transport import DEMAND_PERIOD

MOST_DETECTIONS, MOST_DEPTH_IMAGES = 10, 5
"""Messages that the middleware keeps while a callback runs."""
FIT_PERIOD = 1.0
"""Seconds between two looks at the publishers of the inputs."""


@dataclass(frozen=True)
class Waiting:
    """Detections that wait for their depth image or a transform.

    Attributes:
        message: Detections.
        until: Time on the steady clock, in seconds, at which the wait ends.
    """

    message: Detection2DArray
    until: float


class LocatorNode(FailableNode):
    """Node that places the detections of one camera.

    Detections wait in the order of their arrival. Each message that may end a wait (a depth image, a camera_info,
    a transform) wakes `_advance`, and a timer ends the waits that have lasted too long; no callback blocks.

    Raises:
        ValueError: A parameter is wrong or does not exist.
    """

    def __init__(self) -> None:
        super().__init__("locator")
        self._live = LocatorParameters(self, self.resolve_topic_name("depth/image"))
        max_wait, memory = (self.declare(spec) for spec in FIXED)
        self.check_overrides()
        self._max_wait = max_wait
        self._outputs = Outputs(self)
        self._frames = Frames(self, self._advance)
        self._depth_images = StampBuffer[Image](round(memory * 1e9))
        self._detections = Input(self, Detection2DArray, "detections", self._on_detections, depth=MOST_DETECTIONS)
        self._depth = Input(self, Image, "depth/image", self._on_depth, depth=MOST_DEPTH_IMAGES)
        infos = [Input(self, CameraInfo, f"{name}camera_info", self._on_info(name)) for name in ("", "depth/")]
        self._cameras = {
            name: CalibratedCamera(info.topic, info.explain_silence)
            for name, info in zip(("", "depth/"), infos, strict=True)
        }
        self._inputs = (self._depth, *infos, self._detections)
        self._locator = Locator(
            self._frames,
            self._cameras[""],
            self._cameras["depth/"],
            self._depth_images,
            self._depth.explain_silence,
        )
        self._waiting: deque[Waiting] = deque()
        self._newest = 0
        self._active = False
        self._report = LocatorReport(self.get_logger())
        self._updater = StatusUpdater(self)
        self._updater.add("locator", self._diagnose)
        self._impatience = self.create_timer(
            max(max_wait / 2, 0.005), self._advance, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._impatience.cancel()
        self.call_every(DEMAND_PERIOD, self._follow_demand)
        self.call_every(FIT_PERIOD, self._fit_inputs)
        self.call_once_spinning(self._introduce)

    def _introduce(self) -> None:
        topics = f"{self._detections.topic} in {self._depth.topic}"
        self.get_logger().info(f"placing {topics}, while a topic with results has a subscriber")

    def _follow_demand(self) -> None:
        """Subscribe to the inputs while another node wants the results."""
        wanted = self._outputs.are_wanted(self._live.settings)
        if wanted == self._active:
            return
        self._active = wanted
        for source in self._inputs:
            if wanted:
                source.open()
            else:
                source.close()
        if wanted:
            self._report.start()
        else:
            self._forget()

    def _forget(self) -> None:
        self._newest = 0
        self._waiting.clear()
        self._depth_images.clear()
        self._frames.close()
        for camera in self._cameras.values():
            camera.forget()

    def _fit_inputs(self) -> None:
        for source in self._inputs:
            source.fit_publishers()

    def _on_info(self, name: str) -> Any:
        def keep(info: CameraInfo) -> None:
            self._cameras[name].keep(info)
            self._advance()

        return keep

    def _on_depth(self, image: Image) -> None:
        if self._depth_images.add(nanoseconds(image.header.stamp), image):
            self._report.note_jump(self._depth.topic)
            self._frames.rewind(image.header.stamp)
        self._advance()

    def _on_detections(self, message: Detection2DArray) -> None:
        stamp = nanoseconds(message.header.stamp)
        if stamp < self._newest:
            self._frames.rewind(message.header.stamp)
        self._newest = stamp
        self._waiting.append(Waiting(message, monotonic() + self._max_wait))
        self._advance()

    def _advance(self) -> None:
        """Publish the objects of the images that wait, oldest first, until one of them must wait longer."""
        with unless_shut_down(self.context):
            while self._waiting and self._settle(self._waiting[0]):
                self._waiting.popleft()
            if not self._waiting:
                self._impatience.cancel()
            elif self._impatience.is_canceled():
                self._impatience.reset()

    def _settle(self, waiting: Waiting) -> bool:
        """Publish the objects of one image, or count them as lost; return False if it must wait."""
        settings = self._live.settings
        try:
            frame = self._locator.locate(waiting.message, settings)
        except UnlocatedError as error:
            if error.may_come and monotonic() < waiting.until:
                return False
            self._report.note_failure(len(waiting.message.detections), error)
            self._outputs.miss()
            return True
        self._report.note_frame(frame)
        self._outputs.publish(frame, settings)
        return True

    def _diagnose(self, status: Any) -> Any:
        period = self._depth_images.period
        values = {
            "depth period ms": "unknown" if period is None else f"{period / 1e6:.1f}",
            "depth images": str(self._depth.received),
            "waiting": str(len(self._waiting)),
        }
        return self._report.fill(status, self._active, values, self._detections.explain_silence)


def main(args: Sequence[str] | None = None) -> int:
    """Run the locator."""
    cv2.setNumThreads(1)  # its parts of an image are small: more threads take processor time and save none
    return spin_node(LocatorNode, args)


if __name__ == "__main__":
    sys.exit(main())
