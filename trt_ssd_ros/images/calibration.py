"""Calibration: camera intrinsics from the YAML files of camera_calibration and camera_info_manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.yaml_reader import FieldError, read, read_yaml, require

DISTORTIONS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Numbers of coefficients that each distortion model allows (sensor_msgs/distortion_models.hpp; REP 104)."""


def names_rectified(topic: str) -> bool:
    """Return whether the name of an image topic, raw or compressed, says that its images are rectified."""
    return not {"rect", "rectified"}.isdisjoint(topic.removesuffix("/compressed").rpartition("/")[2].split("_"))


class CalibrationError(ValueError):
    """Invalid calibration file; the message names the field, what was found and what was expected."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsics of a camera, as in sensor_msgs/CameraInfo.

    Attributes:
        width: Width in pixels of the images that the camera was calibrated with.
        height: Height in pixels of the images that the camera was calibrated with.
        model: Distortion model, a key of DISTORTIONS.
        distortion: Coefficients of the distortion model.
        camera_matrix: Camera matrix, 3x3 in row-major order, in pixels.
        rectification: Rectification matrix, 3x3 in row-major order.
        projection: Projection matrix, 3x4 in row-major order, in pixels.
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
            CalibrationError: The file cannot be read, or a field is wrong.
        """
        try:
            return cls._of(read_yaml(path.expanduser()))
        except FieldError as error:
            raise CalibrationError(f"calibration: {path}: {error}") from error
        except OSError as error:
            raise CalibrationError(f"calibration: cannot read {path}: {one_line(error)}") from error

    @classmethod
    def _of(cls, content: Any) -> Calibration:
        require(isinstance(content, dict), "", type(content).__name__, "the YAML file of camera_calibration")
        model = content.get("distortion_model")
        require(model in [*DISTORTIONS], "distortion_model", repr(model), f"one of {', '.join(DISTORTIONS)}")
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
    require(type(value) is int and value > 0, field, repr(value), "a number of pixels above 0")
    return int(content[field])


def _numbers(content: Mapping[str, Any], field: str, counts: Sequence[int]) -> tuple[float, ...]:
    matrix = content.get(field)
    data = matrix.get("data") if isinstance(matrix, dict) else None
    found = f"{len(data)} numbers" if isinstance(data, list) else repr(matrix)
    expected = " or ".join(map(str, counts))
    require(isinstance(data, list) and len(data) in counts, field, found, f"data with {expected} numbers")
    try:
        return tuple(read(tuple[float, ...], data, ()))
    except FieldError as error:
        raise FieldError(field, f"{error.found} in its data", f"{expected} finite numbers") from error
