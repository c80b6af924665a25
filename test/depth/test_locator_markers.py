"""Markers: one box and one label for each object, kept by its id through missed images, else deleted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from depth_rig import header, plate, transform
from visualization_msgs.msg import Marker, MarkerArray

from trt_ssd_ros.depth.frames import Transform
from trt_ssd_ros.depth.located_frame import THINNEST, LocatedFrame, LocatedObject
from trt_ssd_ros.depth.markers import BOXES, LABELS, MISSES, Markers
from trt_ssd_ros.depth.placement import Placement

pytestmark = pytest.mark.ros


def frame(*names: str, size: Sequence[float] = (1, 2, 0)) -> LocatedFrame:
    """A frame of objects with these ids, 3 m in front of a camera that looks along x of the frame map."""
    to_map = Transform.from_msg(transform("map", "camera", header(1), (0, 0, 1), (-0.5, 0.5, -0.5, 0.5)))
    placement = Placement(
        np.array([0, 0, 3.0]), np.array(size, np.float64), np.eye(3) / 100, lambda: np.zeros((0, 3), np.float32)
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
    assert markers.miss().markers == []


def test_an_object_keeps_its_marker_through_missed_images_and_one_that_is_gone_is_deleted():
    markers = Markers()
    seven, eight = ids(markers.message(frame("run-7", "run-8")), Marker.ADD)
    for _ in range(MISSES):
        after = markers.message(frame("run-8", "run-9"))
        kept, new = ids(after, Marker.ADD)
        assert (kept, new not in (seven, eight), ids(after, Marker.DELETE)) == (eight, True, [])
    assert ids(markers.message(frame("run-7", "run-8", "run-9")), Marker.ADD) == [seven, eight, new]
    for _ in range(MISSES):
        assert ids(markers.message(frame("run-8")), Marker.DELETE) == []
    after = markers.message(frame("run-8"))
    assert sorted(ids(after, Marker.DELETE)) == sorted(ids(after, Marker.DELETE, LABELS)) == [seven, new]
    assert ids(markers.message(frame("run-7")), Marker.ADD)[0] not in (seven, eight, new)


@pytest.mark.parametrize("names", [("run-7", "run-8"), ("", "")])
def test_images_without_places_delete_the_markers_of_all_objects_after_a_while(names):
    markers = Markers()
    drawn = ids(markers.message(frame(*names)), Marker.ADD)
    for _ in range(MISSES - 1):
        assert markers.miss().markers == []
    assert markers.message(frame()).markers == []
    assert sorted(ids(markers.miss(), Marker.DELETE)) == drawn
    assert markers.miss().markers == []


def test_objects_without_ids_take_the_markers_of_their_places_in_the_message():
    markers = Markers()
    first, second = ids(markers.message(frame("", "")), Marker.ADD)
    after = markers.message(frame(""))
    assert (ids(after, Marker.ADD), ids(after, Marker.DELETE)) == ([first], [second]), "none is known again"


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
