"""Markers: a box and a label for each object, which rviz2 draws without a plugin, until the object is gone."""

from __future__ import annotations

from collections.abc import Collection, Container

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from trt_ssd_ros.depth.located_frame import LocatedFrame, LocatedObject
from trt_ssd_ros.detection.draw import class_color

BOXES, LABELS = "boxes", "labels"
"""Namespaces of the markers, which rviz2 switches on and off."""
LIFETIME = Duration(sec=2)
"""Time after which rviz2 deletes a marker if this node does not: it has ended, or gets no detections."""
MISSES = 5
"""Images in a row without an object up to which it keeps its marker: detectors miss an object in single images."""
OPACITY = 0.5
LETTER = 0.12
"""Height of the letters in metres."""


Name = str | int
"""Name under which an object keeps its marker: its id, or its place in the message."""


class Markers:
    """Markers of one camera's objects.

    An object with an id keeps its marker through `MISSES` images without it. Objects without ids are not known
    again: their markers are those of the newest image with objects, and stay through `MISSES` images without any.
    """

    def __init__(self) -> None:
        self._numbers: dict[Name, int] = {}
        self._misses: dict[Name, int] = {}
        self._colors: dict[str, int] = {}
        self._next = 0
        self._header = Header()

    def message(self, frame: LocatedFrame) -> MarkerArray:
        """Return the markers of one image: those of its objects, and the deletion of those that are gone."""
        names: dict[Name, LocatedObject] = {}
        for index, item in enumerate(frame.objects):
            names[_name(item, index, names)] = item
        gone = self._gone(names)
        self._header = frame.header
        drawn = [marker for name, item in names.items() for marker in self._draw(item, self._number(name), frame)]
        return MarkerArray(markers=[*gone, *drawn])

    def miss(self) -> MarkerArray:
        """Return the deletions after an image whose objects have no places."""
        return MarkerArray(markers=self._gone(()))

    def _number(self, name: Name) -> int:
        if name not in self._numbers:
            self._next = (self._next + 1) % 2**31
            self._numbers[name] = self._next
        return self._numbers[name]

    def _gone(self, seen: Collection[Name]) -> list[Marker]:
        """Count the objects that an image misses, forget those that are gone, and return their deletions."""
        self._misses = {name: 0 if name in seen else self._misses.get(name, 0) + 1 for name in self._numbers}
        gone = [
            name
            for name, misses in self._misses.items()
            if misses > MISSES or (misses and seen and isinstance(name, int))
        ]
        return self._deletions([self._numbers.pop(name) for name in gone])

    def _deletions(self, numbers: list[int]) -> list[Marker]:
        return [
            Marker(header=self._header, ns=namespace, id=number, action=Marker.DELETE)
            for number in numbers
            for namespace in (BOXES, LABELS)
        ]

    def _draw(self, item: LocatedObject, number: int, frame: LocatedFrame) -> list[Marker]:
        red, green, blue = class_color(self._colors.setdefault(item.label, len(self._colors)))
        color = ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=OPACITY)
        x, y, z = item.centre.tolist()
        pose = Pose(position=Point(x=x, y=y, z=z), orientation=frame.transform.rotation)
        width, height, thickness = item.size
        box = Marker(
            header=frame.header,
            ns=BOXES,
            id=number,
            type=Marker.CUBE,
            pose=pose,
            scale=Vector3(x=width, y=height, z=thickness),
            color=color,
            lifetime=LIFETIME,
        )
        # Above the box as the camera sees it: y of the optical frame points down.
        top = item.placement.centre - [0, height / 2 + LETTER, 0]
        x, y, z = frame.transform.points(top).tolist()
        label = Marker(
            header=frame.header,
            ns=LABELS,
            id=number,
            type=Marker.TEXT_VIEW_FACING,
            pose=Pose(position=Point(x=x, y=y, z=z), orientation=frame.transform.rotation),
            scale=Vector3(z=LETTER),
            color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
            text=caption(item),
            lifetime=LIFETIME,
        )
        return [box, label]


def caption(item: LocatedObject) -> str:
    """Return class, number of the id, and distance, e.g. `person 7 2.4 m`."""
    number = item.detection.id.rpartition("-")[2]
    return " ".join(filter(None, (item.label, number, f"{item.distance:.1f} m")))


def _name(item: LocatedObject, index: int, taken: Container[Name]) -> Name:
    """Return the name under which an object keeps its marker; without an id of its own, a place in the message."""
    return item.detection.id if item.detection.id and item.detection.id not in taken else index
