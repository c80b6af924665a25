"""The project's values as ROS messages, and back."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.images.frame import frame_from_message
from trt_ssd_ros.node.messages import detections_to_msg, image_to_msg, label_info_to_msg

pytestmark = pytest.mark.ros

LABELS = ("Cat", "Dog", "Tea cup")
HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id="left")
pixel = st.floats(0, 4000, width=32)
box = st.tuples(pixel, pixel, pixel, pixel).map(lambda c: [*np.minimum(c[:2], c[2:]), *np.maximum(c[:2], c[2:])])


def over_the_wire(message: object) -> object:
    """What a subscriber gets."""
    return deserialize_message(serialize_message(message), type(message))


def from_msg(message: Detection2DArray) -> Detections:
    """Read a message back."""
    boxes, scores, class_ids = [], [], []
    for detection in message.detections:
        centre, size = detection.bbox.center.position, (detection.bbox.size_x, detection.bbox.size_y)
        boxes.append(
            [centre.x - size[0] / 2, centre.y - size[1] / 2, centre.x + size[0] / 2, centre.y + size[1] / 2]
        )
        [result] = detection.results
        scores.append(result.hypothesis.score)
        class_ids.append(LABELS.index(result.hypothesis.class_id))
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores), np.array(class_ids))


@given(st.lists(st.tuples(box, st.floats(0, 1, width=32), st.integers(0, 2))))
def test_detections_come_back(found):
    boxes = np.array([corners for corners, _, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in found], np.float32)
    class_ids = np.array([class_id for _, _, class_id in found], np.int32)
    message = over_the_wire(detections_to_msg(Detections(boxes, scores, class_ids), HEADER, LABELS))
    back = from_msg(message)
    np.testing.assert_allclose(back.boxes, boxes, rtol=1e-6, atol=1e-3)
    np.testing.assert_array_equal(back.scores, scores)
    np.testing.assert_array_equal(back.class_ids, class_ids)
    assert message.header == HEADER
    assert all(detection.header == HEADER for detection in message.detections)
    assert all(detection.bbox.center.theta == 0 for detection in message.detections)


def test_class_id_is_what_the_class_is_called():
    found = Detections(np.zeros((1, 4)), np.ones(1), np.array([2]))
    [detection] = detections_to_msg(found, HEADER, ("1", "2", "4")).detections
    assert detection.results[0].hypothesis.class_id == "4"


def test_label_info_maps_numbers_to_names():
    message = over_the_wire(label_info_to_msg({1: "Cat", 3: "Dog"}, 0.5, HEADER))
    assert isinstance(message, LabelInfo)
    assert {entry.class_id: entry.class_name for entry in message.class_map} == {1: "Cat", 3: "Dog"}
    assert message.threshold == 0.5
    assert message.header == HEADER


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (720, 1280)])
def test_images_come_back(order, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    message = over_the_wire(image_to_msg(pixels, order, HEADER))
    assert isinstance(message, Image)
    assert message.header == HEADER
    assert (message.height, message.width, message.step) == (*shape, 3 * shape[1])
    frame = frame_from_message(message)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert (frame.channel_order, message.encoding) == (order, f"{order}8")


def test_images_need_not_be_contiguous():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    for view in (pixels[:, ::2], pixels[::-1], pixels[..., ::-1]):
        np.testing.assert_array_equal(frame_from_message(image_to_msg(view, "bgr", HEADER)).pixels, view)
