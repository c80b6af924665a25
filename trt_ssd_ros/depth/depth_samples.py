"""DepthImage: distances along the optical axis, whose samples become metres only where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.images.frame import ImageMessage, UnsupportedEncodingError, view_samples

METRES_PER_UNIT: Mapping[str, tuple[type[np.generic], float]] = MappingProxyType(
    # mono16 is what some time-of-flight drivers call 16UC1; depth_image_proc reads it so too.
    {"16UC1": (np.uint16, 0.001), "mono16": (np.uint16, 0.001), "32FC1": (np.float32, 1.0)}
)
"""Type and unit of each encoding (REP 118): the encoding alone says whether samples are millimetres or metres."""
LEAST, MOST = np.float32(1e-6), np.float32(1e6)
"""Bounds of what is a depth, in metres: some drivers write 0 or the largest float where nothing was measured."""

Metres = NDArray[np.float32]
Index = NDArray[np.int64] | slice


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Depth image.

    Attributes:
        samples: (H, W) uint16 or float32, perhaps a view of a message's bytes.
        unit: Metres per unit of `samples`.
    """

    samples: NDArray[Any]
    unit: float = 1.0

    @classmethod
    def from_message(cls, message: ImageMessage) -> DepthImage:
        """Return the depth image of a message, as a view of its bytes, or a copy if OpenCV cannot read them.

        Args:
            message: Any object with the fields of a `sensor_msgs/Image`.

        Raises:
            UnsupportedEncodingError: The encoding is not in `METRES_PER_UNIT`.
            FrameError: The fields contradict each other, or the image is empty or cut short.
        """
        if message.encoding not in METRES_PER_UNIT:
            expected = ", ".join(METRES_PER_UNIT)
            raise UnsupportedEncodingError(
                f"depth image has the encoding {message.encoding!r}, expected one of {expected}: "
                "choose the topic of the raw depth image, not of a picture of it"
            )
        dtype, unit = METRES_PER_UNIT[message.encoding]
        return cls(np.require(view_samples(message, np.dtype(dtype))[..., 0], dtype, ["ALIGNED"]), unit)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.samples.shape
        return height, width

    def metres(self, rows: Index = slice(None), columns: Index = slice(None)) -> Metres:
        """Return depths in metres, NaN where nothing was measured: samples that are not from LEAST to MOST.

        Args:
            rows: Rows in pixels, or a slice.
            columns: Columns in pixels, or a slice.

        Returns:
            float32, of the shape of `samples[rows, columns]`.
        """
        return self.metres_of(self.samples[rows, columns])

    def metres_of(self, samples: NDArray[Any]) -> Metres:
        """Return samples in metres, NaN where nothing was measured."""
        depths: Metres = np.multiply(samples, np.float32(self.unit), dtype=np.float32)
        np.putmask(depths, (depths <= LEAST) | (depths >= MOST), np.nan)
        return depths
