"""The batched filter is the textbook's Kalman filter of each box, and knows time only in seconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trt_ssd_ros.tracking.kalman import ACCELERATION_NOISE, INITIAL_RATE, MEASUREMENT_NOISE, BoxFilter

NO_BOXES = np.empty((0, 4), np.float32)
TWO = np.array([[0, 0, 10, 20], [100, 50, 160, 90]], np.float32)
STEPS = st.lists(st.floats(0, 2), min_size=1, max_size=6)


class TextbookFilter:
    """Kalman filter of one box: eight states (cx, cy, w, h and their rates), full matrices, plain formulas."""

    def __init__(self, box: NDArray[np.float32]) -> None:
        measured = self.measurement(box)
        self.x = np.concatenate([measured, np.zeros(4)])
        noise, rates = self.measurement_noise(measured), (INITIAL_RATE * self.motion_units(measured)) ** 2
        self.p = np.diag(np.concatenate([noise, rates]))
        self.units = self.motion_units(measured)

    @staticmethod
    def measurement(box: NDArray[np.float32]) -> NDArray[np.float64]:
        x1, y1, x2, y2 = (float(corner) for corner in box)
        return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])

    @staticmethod
    def measurement_noise(measured: NDArray[np.float64]) -> NDArray[np.float64]:
        _, _, width, height = measured
        return (MEASUREMENT_NOISE * np.array([width, height, width, height])) ** 2

    @staticmethod
    def motion_units(measured: NDArray[np.float64]) -> NDArray[np.float64]:
        _, _, width, height = measured
        return np.full(4, min(width, height))

    def predict(self, dt: float) -> None:
        f = np.eye(8) + dt * np.eye(8, k=4)
        density = np.diag((ACCELERATION_NOISE * self.units) ** 2)
        q = np.block([[density * dt**3 / 3, density * dt**2 / 2], [density * dt**2 / 2, density * dt]])
        self.x, self.p = f @ self.x, f @ self.p @ f.T + q

    def update(self, box: NDArray[np.float32]) -> None:
        measured, h = self.measurement(box), np.eye(4, 8)
        innovation = h @ self.p @ h.T + np.diag(self.measurement_noise(measured))
        gain = self.p @ h.T @ np.linalg.inv(innovation)
        self.x, self.p = self.x + gain @ (measured - h @ self.x), (np.eye(8) - gain @ h) @ self.p
        self.units = self.motion_units(measured)


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("seed", range(3))
def test_the_batch_computes_what_the_textbook_computes_for_each_box(count, seed):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 500, (20, count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 300, (20, count, 2))], -1).astype(np.float32)
    batch, singles = BoxFilter.begin(boxes[0]), [TextbookFilter(box) for box in boxes[0]]
    for measured in boxes[1:]:
        seconds = random.uniform(0, 0.3)
        batch = batch.predict(seconds)
        batch.update(np.arange(count), measured)
        for single, box in zip(singles, measured, strict=True):
            single.predict(seconds)
            single.update(box)
    for state, single in zip(batch.state, singles, strict=True):
        np.testing.assert_allclose(state[:, :2].T.ravel(), single.x, rtol=1e-9, atol=1e-6)
        p00, p01, p11 = (np.diag(column) for column in state[:, 2:5].T)
        np.testing.assert_allclose(np.block([[p00, p01], [p01, p11]]), single.p, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("boxes", [NO_BOXES, TWO[:1], TWO])
def test_a_filter_begins_with_its_box_at_rest(boxes):
    begun = BoxFilter.begin(boxes)
    assert len(begun) == len(boxes)
    np.testing.assert_allclose(begun.boxes, boxes)
    np.testing.assert_allclose(begun.predict(3.0).boxes, boxes)
    begun.update(np.arange(len(boxes)), boxes)
    np.testing.assert_allclose(begun.boxes, boxes)


@pytest.mark.parametrize(
    ("index", "expected"),
    [(np.zeros(2, np.bool_), NO_BOXES), (np.array([1]), TWO[1:]), (np.array([1, 0]), TWO[::-1])],
)
def test_filters_are_selected_and_joined(index, expected):
    chosen = BoxFilter.begin(TWO)[index]
    np.testing.assert_allclose(chosen.boxes, expected)
    joined = chosen + BoxFilter.begin(TWO)
    np.testing.assert_allclose(joined.boxes, np.concatenate([expected, TWO]))


@given(steps=STEPS)
def test_many_predictions_equal_one_over_the_whole_time(steps):
    begun = BoxFilter.begin(TWO).predict(0.1)
    begun.update(np.arange(2), TWO + 3)
    one, many = begun.predict(sum(steps)), begun
    for seconds in steps:
        many = many.predict(seconds)
    np.testing.assert_allclose(many.state, one.state, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("rate", [5.0, 15.0, 60.0])
def test_the_velocity_is_in_pixels_per_second_at_any_rate_of_images(rate):
    velocity = np.array([90.0, -45.0, 90.0, -45.0])
    motion = BoxFilter.begin(TWO)
    for index in range(1, int(4 * rate)):
        motion = motion.predict(1 / rate)
        motion.update(np.arange(2), TWO + velocity * index / rate)
    np.testing.assert_allclose(motion.state[:, :2, 1], [velocity[:2]] * 2, rtol=0.02)
    np.testing.assert_allclose(motion.state[:, 2:, 1], 0, atol=1)


def test_only_the_chosen_filters_are_updated():
    motion = BoxFilter.begin(TWO).predict(0.1)
    motion.update(np.array([1]), TWO[:1])
    np.testing.assert_allclose(motion.boxes[0], TWO[0])
    assert motion.boxes[1, 0] < TWO[1, 0]


def test_a_shrinking_box_ends_with_size_0_and_not_inside_out():
    motion = BoxFilter.begin(TWO[:1]).predict(0.1)
    motion.update(np.array([0]), np.array([[2, 4, 8, 16]], np.float32))
    [box] = motion.predict(60.0).boxes
    assert box[2] >= box[0]
    assert box[3] >= box[1]


def test_boxes_without_area_and_doubtful_positions_stay_finite():
    point, first = np.array([[5, 5, 5, 5]], np.float32), np.array([0])
    motion = BoxFilter.begin(point).predict(0.0)
    motion.update(first, point)
    motion = motion.predict(1000.0)
    motion.update(first, point)
    assert np.isfinite(motion.state).all()
    assert (motion.state[..., 2] > 0).all()
