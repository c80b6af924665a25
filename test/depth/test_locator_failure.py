"""An error in the placement costs the places of one image, not the node."""

from __future__ import annotations

import pytest
from depth_rig import depth_message, header, info_message, plate, scene
from vision_msgs.msg import Detection2DArray

import trt_ssd_ros.depth.locator
from trt_ssd_ros.depth.frames import Frames
from trt_ssd_ros.depth.located_frame import UnlocatedError
from trt_ssd_ros.depth.locator import CalibratedCamera, Locator
from trt_ssd_ros.depth.matching import StampBuffer
from trt_ssd_ros.depth.parameters import LIVE, LocatorSettings
from trt_ssd_ros.depth.placement import Reason

pytestmark = pytest.mark.ros


def test_an_error_is_the_reason_of_all_objects_of_the_image(monkeypatch):
    values = {spec.name: spec.default for spec in LIVE} | {"depth_rectified": True}
    cameras = [CalibratedCamera(name, str) for name in ("camera_info", "depth/camera_info")]
    for camera in cameras:
        camera.keep(info_message(header(1)))
    images = StampBuffer(10**9)
    images.add(10**9, depth_message(scene(), header(1)))
    frames = Frames(None, print)  # of a robot without tf; it needs no node for one frame
    locator = Locator(frames, *cameras, images, str)
    asked = Detection2DArray(header=header(1), detections=[plate()])
    assert len(locator.locate(asked, LocatorSettings.of(values)).objects) == 1

    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(trt_ssd_ros.depth.locator, "place_objects", broken)
    with pytest.raises(UnlocatedError, match="placement failed: division by zero") as caught:
        locator.locate(asked, LocatorSettings.of(values))
    assert (caught.value.reason, caught.value.may_come) == (Reason.FAILED, False)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
