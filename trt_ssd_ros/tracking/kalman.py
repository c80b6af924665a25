"""Constant-velocity Kalman filter of boxes, driven by seconds and batched over all tracks.

The centre x, centre y, width and height of a box are four independent coordinates, each with a state z (value,
rate) and its covariance P. Noise is in proportion to the box: s is its width (for x and width) or height (for y
and height), u is the shorter of both, because objects accelerate alike in x and y.

    predict by dt:  F = [1 dt; 0 1]    Q = (a u)^2 [dt^3/3 dt^2/2; dt^2/2 dt]
                    z = F z            P = F P F' + Q
    update with m:  K = P H' / (H P H' + (r s)^2)    H = [1 0]
                    z = z + K (m - H z)              P = P - K H P
    begin with m:   z = (m, 0)         P = diag((r s)^2, (v u)^2)

Q is white-noise acceleration in continuous time (Bar-Shalom, Li, Kirubarajan: Estimation with Applications to
Tracking and Navigation, 2001, section 6.2.2): one prediction by 0.2 s equals two by 0.1 s, so the rate of the
images and dropped images change nothing but the number of measurements. Width, height and noise in proportion to
them are those of BoT-SORT (Aharon et al., 2022), after DeepSORT (Wojke et al., 2017) and ByteTrack.

P is symmetric, so a coordinate is six numbers: z0, z1, P00, P01, P11 and the density (a u)^2. The prediction is
linear in them, and one matrix product predicts all coordinates of all boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MEASUREMENT_NOISE = 0.05
"""Standard deviation r of a detection's coordinates in box sizes."""
ACCELERATION_NOISE = np.array([3.0, 3.0, 0.5, 0.5])
"""Square root a of the spectral density of the acceleration of each coordinate, in shorter sides per s^1.5."""
INITIAL_RATE = np.array([3.0, 3.0, 0.5, 0.5])
"""Standard deviation v of the rates of a new track, in shorter sides per second."""
LEAST_SIZE = 1.0
"""Least width and height in pixels that noise is in proportion to."""

CENTRES_AND_SIZES = np.array(
    [[0.5, 0.0, -1.0, 0.0], [0.0, 0.5, 0.0, -1.0], [0.5, 0.0, 1.0, 0.0], [0.0, 0.5, 0.0, 1.0]]
)
"""(4, 4), x1 y1 x2 y2 @ this: centre x, centre y, width, height."""
CORNERS = np.linalg.inv(CENTRES_AND_SIZES)


@dataclass(frozen=True, eq=False)
class BoxFilter:
    """Kalman filters of N boxes.

    Attributes:
        state: (N, 4, 6) float64 for centre x, centre y, width and height: value in pixels, rate in pixels per
            second, their variances and covariance in the order P00, P01, P11, and the density of the acceleration.
    """

    state: Array

    @classmethod
    def begin(cls, boxes: Boxes | Array) -> BoxFilter:
        """Return filters that begin with boxes (N, 4), x1 y1 x2 y2 in pixels, at rest."""
        measured, variances, shorter = _measurements(boxes)
        state = np.zeros((len(boxes), 4, 6))
        state[..., 0], state[..., 2] = measured, variances
        state[..., 4], state[..., 5] = (INITIAL_RATE * shorter) ** 2, (ACCELERATION_NOISE * shorter) ** 2
        return cls(state)

    def __len__(self) -> int:
        return len(self.state)

    def __getitem__(self, index: NDArray[np.bool_] | Indices) -> BoxFilter:
        """Return the filters that a boolean mask or an index array selects."""
        return BoxFilter(self.state[index])

    def __add__(self, other: BoxFilter) -> BoxFilter:
        """Return these filters, followed by others."""
        return BoxFilter(np.concatenate([self.state, other.state]))

    @property
    def boxes(self) -> Array:
        """Estimated boxes (N, 4), x1 y1 x2 y2 in pixels; a negative width or height counts as 0."""
        values = self.state[..., 0].copy()
        np.maximum(values[:, 2:], 0, out=values[:, 2:])
        return np.asarray(values @ CORNERS)

    @property
    def spreads(self) -> Array:
        """Standard deviations (N, 2) of the centres in x and y in pixels."""
        return np.asarray(np.sqrt(self.state[:, :2, 2]))

    def predict(self, seconds: float) -> BoxFilter:
        """Return the filters after a time without measurements."""
        transition = np.eye(6)  # of z0, z1, P00, P01, P11 and the density: from the row, to the column
        transition[1, 0] = transition[4, 3] = transition[5, 4] = seconds
        transition[3, 2] = 2 * seconds
        transition[4, 2], transition[5, 3] = seconds**2, seconds**2 / 2
        transition[5, 2] = seconds**3 / 3
        return BoxFilter(self.state @ transition)

    def update(self, rows: Indices, boxes: Boxes | Array) -> None:
        """Write one measured box each, (M, 4), x1 y1 x2 y2 in pixels, into the filters `rows` (M,)."""
        measured, variances, shorter = _measurements(boxes)
        state = self.state[rows]
        hp = state[..., 2:4]  # H P: P00, P01
        gains = hp / (hp[..., :1] + variances[..., None])
        p11 = state[..., 4] - gains[..., 1] * hp[..., 1]
        state[..., :2] += gains * (measured - state[..., 0])[..., None]
        hp *= 1 - gains[..., :1]
        state[..., 4], state[..., 5] = p11, (ACCELERATION_NOISE * shorter) ** 2
        self.state[rows] = state


def _measurements(boxes: Boxes | Array) -> tuple[Array, Array, Array]:
    """Return centres and sizes (N, 4), their variances (N, 4) and the shorter side (N, 1) of detected boxes.

    A box without width or height has noise, too.
    """
    measured = boxes @ CENTRES_AND_SIZES
    sizes = np.maximum(measured[:, [2, 3, 2, 3]], LEAST_SIZE)
    variances = (MEASUREMENT_NOISE * sizes) ** 2
    return measured, variances, np.minimum(sizes[:, :1], sizes[:, 1:2])
