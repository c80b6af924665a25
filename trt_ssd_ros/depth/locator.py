"""Locator: from the detections of one image, a depth image, camera_infos and tf to the places of the objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.depth.camera_model import CameraModelError, PinholeCamera, map_boxes
from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.depth.frames import FrameError, Frames, Transform
from trt_ssd_ros.depth.located_frame import LocatedFrame, LocatedObject, UnlocatedError
from trt_ssd_ros.depth.matching import Match, StampBuffer
from trt_ssd_ros.depth.parameters import LocatorSettings
from trt_ssd_ros.depth.placement import Placement, PlacementSettings, Reason, place_objects
from trt_ssd_ros.depth.registration import register
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.frame import FrameError as ImageError
from trt_ssd_ros.ros.stamps import nanoseconds

Explain = Callable[[], str]
"""Function that explains why a topic is silent."""


class CalibratedCamera:
    """Camera of the newest camera_info of a topic.

    Args:
        topic: Full name of the topic.
        explain: Explains why the topic is silent.
    """

    def __init__(self, topic: str, explain: Explain) -> None:
        self._topic = topic
        self._explain = explain
        self._info: CameraInfo | None = None
        self._camera: tuple[Any, PinholeCamera] | None = None

    def keep(self, info: CameraInfo) -> None:
        """Keep a message."""
        self._info = info

    def forget(self) -> None:
        """Forget the message, because the topic is not subscribed to any more."""
        self._info = None

    def model(self, rectified: bool) -> PinholeCamera:
        """Return the camera, made anew only if the calibration has changed: its rays take time.

        Args:
            rectified: Whether the images are rectified.

        Raises:
            UnlocatedError: No message has come, or it is no calibration.
        """
        if self._info is None:
            raise UnlocatedError(Reason.NO_CALIBRATION, lambda: f"no camera_info: {self._explain()}")
        key = (rectified, *_calibration(self._info))
        if self._camera is None or self._camera[0] != key:
            try:
                self._camera = key, PinholeCamera.from_info(self._info, rectified)
            except CameraModelError as error:
                raise _final(Reason.NO_CALIBRATION, f"{self._topic}: {error}") from error
        return self._camera[1]


class Locator:
    """Places of the objects of one camera.

    Args:
        frames: Transforms of the robot.
        camera: Camera of the detections.
        depth_camera: Camera of the depth images.
        depth_images: Recent depth images.
        explain: Explains why no depth image arrives.
    """

    def __init__(
        self,
        frames: Frames,
        camera: CalibratedCamera,
        depth_camera: CalibratedCamera,
        depth_images: StampBuffer[Image],
        explain: Explain,
    ) -> None:
        self._frames = frames
        self._camera = camera
        self._depth_camera = depth_camera
        self._depth_images = depth_images
        self._explain = explain

    def locate(self, found: Detection2DArray, settings: LocatorSettings) -> LocatedFrame:
        """Return the places of the objects of one image.

        Raises:
            UnlocatedError: None of the objects can be placed, perhaps only until another message comes.
        """
        header = Header(stamp=found.header.stamp, frame_id=settings.target_frame or found.header.frame_id)
        if not found.detections:
            return LocatedFrame(header)
        depth, offset = self._match(found)
        cameras = self._camera.model(settings.rectified), self._depth_camera.model(settings.depth_rectified)
        # What may still come is looked for before the work begins: the node tries again with each message.
        transform = self._transform(header.frame_id, found.header)
        is_registered = settings.registered or depth.header.frame_id == found.header.frame_id
        to_camera = None if is_registered else self._transform(found.header.frame_id, depth.header)
        places = _place(_boxes(found), depth, cameras, to_camera, settings.placement)
        objects = [
            LocatedObject(detection, place, transform.points(place.centre), transform.covariance(place.covariance))
            for detection, place in zip(found.detections, places, strict=True)
            if isinstance(place, Placement)
        ]
        unplaced = [place for place in places if isinstance(place, Reason)]
        return LocatedFrame(header, transform, objects, unplaced, offset)

    def _match(self, found: Detection2DArray) -> tuple[Image, int]:
        """Return the depth image of the detections, and the difference of the stamps in nanoseconds."""
        match = self._depth_images.match(nanoseconds(found.header.stamp))
        if match.item is not None and match.offset is not None:
            return match.item, match.offset
        raise UnlocatedError(Reason.NO_DEPTH_IMAGE, lambda: self._describe(match), may_come=not match.final)

    def _describe(self, match: Match[Image]) -> str:
        """Return the reason why a search by stamp has found no depth image."""
        if match.offset is None:
            return self._explain()
        period = self._depth_images.period
        rate = "" if period is None else f", and the depth images are {period / 1e6:.0f} ms apart"
        cause = (
            "it was longer than depth_memory ago, was lost, or has another clock: raise depth_memory, or "
            "synchronise the clocks of the cameras"
            if match.final
            else self._explain()
        )
        return f"the nearest stamp is {match.offset / 1e6:+.0f} ms away{rate}: {cause}"

    def _transform(self, target: str, source: Header) -> Transform:
        try:
            return self._frames.find(target, source.frame_id, source.stamp)
        except FrameError as error:
            text = str(error)
            raise UnlocatedError(Reason.NO_TRANSFORM, lambda: text) from error


def _place(
    boxes: NDArray[np.float64],
    message: Image,
    cameras: tuple[PinholeCamera, PinholeCamera],
    to_camera: Transform | None,
    settings: PlacementSettings,
) -> list[Placement | Reason]:
    """Return the place in each box.

    Args:
        boxes: (N, 4) x1 y1 x2 y2 in pixels of the camera's image.
        message: Depth image.
        cameras: Camera of the boxes and camera of the depth image.
        to_camera: Transform from the depth image's frame to the camera's; None if it is registered.
        settings: Settings of the placement.

    Raises:
        UnlocatedError: The depth image cannot be read, or does not fit its camera_info.
    """
    camera, depth_camera = cameras
    try:
        camera.require_boxes(boxes)
        depth = DepthImage.from_message(message)
        if to_camera is not None:
            registered = register(depth, depth_camera, camera, to_camera.matrix)
            depth, depth_camera = registered.depth, registered.camera
        mapped = boxes if depth_camera == camera else map_boxes(boxes, camera, depth_camera)
        return place_objects(depth, mapped, depth_camera, settings)
    except CameraModelError as error:
        raise _final(Reason.NO_CALIBRATION, str(error)) from error
    except ImageError as error:
        raise _final(Reason.NO_DEPTH_IMAGE, f"cannot read the depth image: {error}") from error
    except Exception as error:  # an image without places is better than a robot without a locator
        raise _final(Reason.FAILED, one_line(error)) from error


def _final(reason: Reason, text: str) -> UnlocatedError:
    """Return the error of an image for which no later message can help."""
    return UnlocatedError(reason, lambda: text, may_come=False)


def _boxes(found: Detection2DArray) -> NDArray[np.float64]:
    """Return the boxes (N, 4) x1 y1 x2 y2 in pixels, NaN for those that are not finite."""
    numbers = [
        (box.center.position.x, box.center.position.y, box.size_x, box.size_y)
        for box in (detection.bbox for detection in found.detections)
    ]
    x, y, width, height = np.array(numbers, np.float64).reshape(-1, 4).T
    boxes: NDArray[np.float64] = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)
    boxes[~np.isfinite(boxes).all(axis=1)] = np.nan  # else clipping makes an infinite box one of the whole image
    return boxes


def _calibration(info: CameraInfo) -> tuple[Any, ...]:
    """Return everything but the header."""
    lens: Sequence[Any] = (info.distortion_model, *map(tuple, (info.d, info.k, info.r, info.p)))
    roi = (info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
    return (info.width, info.height, *lens, info.binning_x, info.binning_y, roi)
