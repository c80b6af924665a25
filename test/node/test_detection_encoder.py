"""The encoder of detections writes what rclpy writes for the same message."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.node import detection_encoder
from trt_ssd_ros.node.detection_encoder import encode_detections, encoder_fits
from trt_ssd_ros.node.messages import detections_to_msg

pytestmark = pytest.mark.ros

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
headers = st.builds(
    Header,
    stamp=st.builds(Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, 2**32 - 1)),
    frame_id=names,
)
finite = st.floats(-1e6, 1e6, width=32)
found = st.lists(
    st.tuples(st.tuples(finite, finite, finite, finite), st.floats(0, 1, width=32), st.integers(0, 3))
)


@given(found, headers, st.tuples(names, names, names, names), st.none() | st.lists(names, min_size=1))
def test_the_encoded_message_is_the_one_that_rclpy_serialises(items, header, class_ids, ids):
    detections = Detections(
        np.array([box for box, _, _ in items], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in items], np.float32),
        np.array([class_id for _, _, class_id in items], np.int32),
        None if ids is None else np.resize(np.array(ids, np.str_), len(items)),
    )
    expected = detections_to_msg(detections, header, class_ids)
    encoded = encode_detections(detections, header, class_ids)
    assert deserialize_message(encoded, Detection2DArray) == expected
    assert len(encoded) == len(serialize_message(expected))


def test_the_encoder_fits_this_installation_and_would_not_fit_other_fields(monkeypatch):
    assert encoder_fits()
    monkeypatch.setattr(detection_encoder, "NUMBERS", np.zeros(50, "<f8"))
    assert not encoder_fits.__wrapped__()
    monkeypatch.setattr(detection_encoder, "NUMBERS", np.zeros(49, "<f8"))
    assert not encoder_fits.__wrapped__(), "the orientation of a pose is no rotation, not zero"
    monkeypatch.undo()
    assert encoder_fits.__wrapped__()
    monkeypatch.setattr(detection_encoder, "id_texts", lambda found: [""] * len(found))
    assert not encoder_fits.__wrapped__(), "ids are compared, too"
