"""Markers: one box and one label for each object, kept by its id, deleted when it is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from depth_rig import header, plate, transform
from visualization_msgs.msg import Marker, MarkerArray

from trt_ssd_ros.depth.frames import Transform
from trt_ssd_ros.depth.located_frame import THINNEST, LocatedFrame, LocatedObject
from trt_ssd_ros.depth.markers import BOXES, LABELS, Markers
from trt_ssd_ros.depth.placement import Placement

pytestmark = pytest.mark.ros


def frame(*names: str, size: Sequence[float] = (1, 2, 0)) -> LocatedFrame:
    """A frame of objects with these ids, 3 m in front of a camera that looks along x of the frame map."""
    to_map = Transform.from_msg(transform("map", "camera", header(1), (0, 0, 1), (-0.5, 0.5, -0.5, 0.5)))
    placement = Placement(
        np.array([0, 0, 3.0]), np.array(size, np.float64), np.eye(3) / 100, np.zeros((0, 3), np.float32)
    )
    centre = to_map.points(placement.centre)
    objects = [LocatedObject(plate(name=name), placement, centre, placement.covariance) for name in names]
    return LocatedFrame(header(1, "map"), to_map, objects, offset=0)


def ids(message: MarkerArray, action: int, namespace: str = BOXES) -> list[int]:
    """The ids of the markers with this action."""
    return [marker.id for marker in message.markers if (marker.action, marker.ns) == (action, namespace)]


def test_nothing_is_drawn_and_deleted_without_objects():
    markers = Markers()
    assert markers.message(frame()).markers == []
    assert markers.clear().markers == []


def test_an_object_keeps_its_marker_and_one_that_is_gone_is_deleted():
    markers = Markers()
    seven, eight = ids(markers.message(frame("run-7", "run-8")), Marker.ADD)
    after = markers.message(frame("run-8", "run-9"))
    assert ids(after, Marker.DELETE) == ids(after, Marker.DELETE, LABELS) == [seven]
    kept, new = ids(after, Marker.ADD)
    assert (kept, new not in (seven, eight)) == (eight, True)
    assert sorted(ids(markers.clear(), Marker.DELETE)) == sorted([kept, new])
    assert ids(markers.message(frame("run-7")), Marker.ADD)[0] not in (seven, kept, new)


def test_objects_without_ids_take_the_markers_of_their_places_in_the_message():
    markers = Markers()
    first, second = ids(markers.message(frame("", "")), Marker.ADD)
    after = markers.message(frame(""))
    assert (ids(after, Marker.ADD), ids(after, Marker.DELETE)) == ([first], [second])


def test_objects_with_one_id_have_a_marker_each():
    first, second = ids(Markers().message(frame("cat", "cat")), Marker.ADD)
    assert first != second


def test_the_label_is_the_best_hypothesis_of_a_detector_that_gives_several():
    seen = frame("run-7")
    seen.objects[0].detection.results.insert(0, plate(score=0.1, label="cat").results[0])
    assert seen.objects[0].label == "person"


def test_boxes_and_labels_are_where_the_object_is():
    box, label = Markers().message(frame("run-7")).markers
    place = box.pose.position
    assert (place.x, place.y, place.z) == pytest.approx((3, 0, 1))
    assert (box.scale.x, box.scale.y, box.scale.z) == (1, 2, THINNEST)
    assert (box.header.frame_id, box.header.stamp.sec) == ("map", 1)
    assert (label.pose.position.x, label.pose.position.z > 2) == (pytest.approx(3), True)
    assert label.text == "person 7 3.0 m"
    assert box.lifetime.sec > 0
