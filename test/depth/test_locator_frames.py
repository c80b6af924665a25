"""Transforms of messages as matrices, compared with SciPy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from depth_rig import header, transform
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from trt_ssd_ros.depth.frames import Transform

pytestmark = pytest.mark.ros

NUMBERS = st.floats(-10, 10)
QUATERNIONS = arrays(np.float64, 4, elements=NUMBERS).filter(lambda q: np.linalg.norm(q) > 0.1)
POINTS = arrays(np.float64, (5, 3), elements=NUMBERS)


def test_the_identity_moves_nothing():
    points = np.arange(6.0).reshape(2, 3)
    assert (Transform.identity().points(points) == points).all()
    assert (Transform.identity().covariance(np.diag([1.0, 2, 3])) == np.diag([1, 2, 3])).all()
    assert Transform.identity().points(np.empty((0, 3))).shape == (0, 3)


@given(QUATERNIONS, arrays(np.float64, 3, elements=NUMBERS), POINTS)
def test_points_move_as_by_scipy(quaternion, shift, points):
    move = Transform.from_msg(transform("map", "camera", header(1), shift, quaternion))
    assert np.allclose(move.points(points), Rotation.from_quat(quaternion).apply(points) + shift)


@given(QUATERNIONS, POINTS)
def test_the_covariance_of_moved_points_is_the_moved_covariance(quaternion, points):
    move = Transform.from_msg(transform("map", "camera", header(1), (1, 2, 3), quaternion))
    assert np.allclose(np.cov(move.points(points).T), move.covariance(np.cov(points.T)))
