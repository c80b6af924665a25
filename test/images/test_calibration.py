"""Calibration files, right and wrong ones."""

from pathlib import Path

import pytest
import yaml

from trt_ssd_ros.images.calibration import Calibration, CalibrationError

GOOD = """
image_width: 640
image_height: 480
camera_name: head
camera_matrix:
  rows: 3
  cols: 3
  data: [500.5, 0.0, 320.0, 0.0, 501.5, 240.0, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 0.001, 0.002, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [490, 0, 321, 0, 0, 492, 241, 0, 0, 0, 1, 0]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "head.yaml"


def test_a_file_of_camera_calibration(path):
    path.write_text(GOOD)
    calibration = Calibration.load(path)
    assert (calibration.width, calibration.height, calibration.model) == (640, 480, "plumb_bob")
    assert calibration.camera_matrix == (500.5, 0.0, 320.0, 0.0, 501.5, 240.0, 0.0, 0.0, 1.0)
    assert calibration.distortion == (0.1, -0.2, 0.001, 0.002, 0.0)
    assert calibration.rectification == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert calibration.projection[3:7] == (0.0, 0.0, 492.0, 241.0)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("image_width", None, "image_width: found None, expected a number of pixels above 0"),
        ("image_height", -480, "image_height: found -480"),
        ("image_height", True, "image_height: found True"),
        ("distortion_model", "fisheye", "distortion_model: found 'fisheye', expected one of plumb_bob, rational"),
        ("distortion_model", ["plumb_bob"], r"distortion_model: found \['plumb_bob'\], expected one of"),
        ("camera_matrix", [1, 2, 3], "camera_matrix: found .*, expected data with 9 numbers"),
        ("camera_matrix", {"data": [1.0] * 8}, "camera_matrix: found 8 numbers, expected data with 9"),
        ("projection_matrix", {"data": ["a"] * 12}, "projection_matrix: found 'a' in its data"),
        ("rectification_matrix", {"data": [float("nan")] * 9}, "rectification_matrix: .*9 finite numbers"),
        ("distortion_coefficients", {"data": [0.0] * 6}, "found 6 numbers, expected data with 4 or 5 numbers"),
    ],
)
def test_a_wrong_field_is_named(path, field, value, said):
    path.write_text(yaml.safe_dump(yaml.safe_load(GOOD) | {field: value}))
    with pytest.raises(CalibrationError, match=rf"^calibration: {path}: .*{said}"):
        Calibration.load(path)


@pytest.mark.parametrize("text", ["[]", "", "a: [", "\x00"])
def test_what_is_no_calibration(path, text):
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r"^calibration: "):
        Calibration.load(path)


def test_a_device_and_aliases_are_not_read(path):
    with pytest.raises(CalibrationError, match="/dev/zero is not a regular file"):
        Calibration.load(Path("/dev/zero"))
    path.write_text(f"{GOOD}\nother: &other [1]\nagain: *other\n")
    with pytest.raises(CalibrationError, match="aliases are not supported"):
        Calibration.load(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(CalibrationError, match="cannot read"):
        Calibration.load(path)
