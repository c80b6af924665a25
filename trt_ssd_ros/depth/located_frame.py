"""LocatedFrame: the objects of one image with their places, for the outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D

from trt_ssd_ros.depth.frames import Transform
from trt_ssd_ros.depth.placement import Placement, Reason

THINNEST = 0.01
"""Least side of a reported box in metres: a flat surface has no thickness, but consumers expect a volume."""


class UnlocatedError(RuntimeError):
    """The objects of an image cannot be placed; the text says why, and what to do.

    Args:
        reason: Reason under which the objects are counted.
        describe: Returns the text; called only once the objects are lost, because it may take a while.
        may_come: Whether a message that has not arrived yet can help.
    """

    def __init__(self, reason: Reason, describe: Callable[[], str], may_come: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_come = may_come
        self._describe = describe

    def __str__(self) -> str:
        return f"{self.reason.value}: {self._describe()}"


@dataclass(frozen=True, eq=False)
class LocatedObject:
    """Object of an image with its place.

    Attributes:
        detection: Detection in the image.
        placement: Place in the camera's optical frame.
        centre: (3,) float64, centre in metres in the frame of the results.
        covariance: (3, 3) float64, of `centre` in square metres.
    """

    detection: Detection2D
    placement: Placement
    centre: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def label(self) -> str:
        """class_id of the best hypothesis; empty if the detection has none."""
        hypotheses = [result.hypothesis for result in self.detection.results]
        return str(max(hypotheses, key=lambda one: one.score).class_id) if hypotheses else ""

    @property
    def size(self) -> tuple[float, float, float]:
        """Width, height and thickness in metres along the camera's axes, each at least THINNEST."""
        width, height, thickness = (max(side, THINNEST) for side in self.placement.size.tolist())
        return width, height, thickness

    @property
    def distance(self) -> float:
        """Distance from the camera in metres."""
        return float(np.linalg.norm(self.placement.centre))


@dataclass(frozen=True, eq=False)
class LocatedFrame:
    """Objects of one image.

    Attributes:
        header: Header of the results: the image's, with the frame of the results.
        transform: Transform from the camera's optical frame to the frame of the results.
        objects: Objects that have a place, in the order of the detections.
        unplaced: Reason of each other object.
        offset: Stamp of the depth image minus that of the image, in nanoseconds; None without objects.
    """

    header: Header
    transform: Transform = field(default_factory=Transform.identity)
    objects: Sequence[LocatedObject] = ()
    unplaced: Sequence[Reason] = ()
    offset: int | None = None

    def points(self) -> NDArray[np.float32]:
        """Return the points (M, 3) of all objects in metres in the frame of the results."""
        clouds = [item.placement.points for item in self.objects]
        together = np.concatenate(clouds) if clouds else np.empty((0, 3))
        return self.transform.points(together).astype(np.float32)
