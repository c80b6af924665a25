"""Calibration: a camera's intrinsics, as camera_calibration and camera_info_manager write them in YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trt_ssd_ros.errors import one_line

DISTORTIONS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Number of coefficients of each model (sensor_msgs/distortion_models.hpp; REP 104)."""


class CalibrationError(ValueError):
    """A calibration file is wrong: says which field, what was found and what was expected."""


@dataclass(frozen=True)
class Calibration:
    """What sensor_msgs/CameraInfo says of a camera.

    Attributes:
        width: Of the images that it was calibrated with, in pixels.
        height: The same.
        model: Of the distortion.
        distortion: Its coefficients.
        camera_matrix: 3x3, row by row, in pixels.
        rectification: 3x3, row by row.
        projection: 3x4, row by row, in pixels.
    """

    width: int
    height: int
    model: str
    distortion: tuple[float, ...]
    camera_matrix: tuple[float, ...]
    rectification: tuple[float, ...]
    projection: tuple[float, ...]

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a YAML file.

        Raises:
            CalibrationError: It cannot be read, or a field is wrong.
        """
        try:
            content = yaml.safe_load(path.expanduser().read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CalibrationError(f"calibration: cannot read {path}: {one_line(error)}") from error
        try:
            return cls._of(content)
        except CalibrationError as error:
            raise CalibrationError(f"calibration: {path}: {error}") from None

    @classmethod
    def _of(cls, content: Any) -> Calibration:
        if not isinstance(content, dict):
            raise CalibrationError(f"found {type(content).__name__}, expected the YAML file of camera_calibration")
        model = content.get("distortion_model")
        if model not in DISTORTIONS:
            raise CalibrationError(f"distortion_model: found {model!r}, expected one of {', '.join(DISTORTIONS)}")
        return cls(
            width=_side(content, "image_width"),
            height=_side(content, "image_height"),
            model=model,
            distortion=_numbers(content, "distortion_coefficients", DISTORTIONS[model]),
            camera_matrix=_numbers(content, "camera_matrix", (9,)),
            rectification=_numbers(content, "rectification_matrix", (9,)),
            projection=_numbers(content, "projection_matrix", (12,)),
        )


def _side(content: Mapping[str, Any], field: str) -> int:
    value = content.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise CalibrationError(f"{field}: found {value!r}, expected pixels")
    return value


def _numbers(content: Mapping[str, Any], field: str, counts: Sequence[int]) -> tuple[float, ...]:
    matrix = content.get(field)
    data = matrix.get("data") if isinstance(matrix, dict) else None
    expected = " or ".join(map(str, counts))
    if not isinstance(data, list) or len(data) not in counts:
        found = f"{len(data)} numbers" if isinstance(data, list) else repr(matrix)
        raise CalibrationError(f"{field}: found {found}, expected data with {expected} numbers")
    wrong = next((x for x in data if isinstance(x, bool) or not isinstance(x, (int, float))), None)
    if wrong is not None or not all(map(math.isfinite, data)):
        raise CalibrationError(f"{field}: found {wrong!r} in its data, expected {expected} finite numbers")
    return tuple(float(x) for x in data)
