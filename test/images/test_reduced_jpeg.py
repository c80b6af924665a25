"""JPEG files decoded at a fraction of their size: the size, the rotation, and files that are decoded whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from picture_files import CMYK, READABLE, UNREADABLE, encoded, turned

from trt_ssd_ros.images.files import ImageFiles
from trt_ssd_ros.images.jpeg import decode_reduced
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.source import SourceImage


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose halves are the same picture: bright at the left, dark at the right, red at the bottom."""
    x, y = np.meshgrid(np.linspace(220, 30, width), np.linspace(20, 200, height))
    return np.dstack([x, x, y]).astype(np.uint8)


def read(path, data: bytes, least: tuple[int, int]) -> SourceImage:
    path.write_bytes(data)
    source = ImageFiles([path])
    source.allow_reduced(*least)
    [image] = source.images()
    return image


@pytest.mark.parametrize(
    ("size", "least", "reduced"),
    [
        ((640, 480), (300, 300), (640, 480)),
        ((800, 600), (300, 300), (400, 300)),
        ((799, 599), (300, 300), (400, 300)),
        ((798, 598), (300, 300), (798, 598)),
        ((1201, 2405), (300, 300), (301, 602)),
        ((2405, 2403), (300, 300), (602, 601)),
        ((2400, 2400), (300, 300), (300, 300)),
        ((801, 803), (100, 50), (401, 402)),  # 101x101 or 201x201 would not show which side is up
        ((1200, 800), (300, 200), (600, 400)),
        ((1200, 800), (100, 200), (300, 200)),
        ((1201, 801), (400, 500), (1201, 801)),
    ],
)
def test_the_smallest_picture_that_is_large_enough_whichever_side_is_up(tmp_path, size, least, reduced):
    image = read(tmp_path / "it.jpg", encoded(".jpg", smooth(*size)), least)
    assert image.pixels.shape[1::-1] == reduced
    assert image.size == size[::-1]
    whole = cv2.resize(smooth(*size), reduced, interpolation=cv2.INTER_AREA)
    assert np.abs(image.pixels.astype(int) - whole).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_picture_has_the_size_and_the_pixels_of_the_whole_one(tmp_path, orientation):
    data = turned(encoded(".jpg", smooth(803, 601)), orientation)
    image = read(tmp_path / "it.jpg", data, (50, 50))
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image.size == whole.shape[:2] == ((601, 803) if orientation < 5 else (803, 601))
    assert sorted(image.pixels.shape[:2]) == [76, 101]
    expected = cv2.resize(whole, image.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(image.pixels.astype(int) - expected).max() <= 6


@pytest.mark.parametrize("kind", [*READABLE, *UNREADABLE])
def test_other_files_are_read_or_refused_as_before(tmp_path, kind):
    path = tmp_path / f"it.{kind}"
    data = {**READABLE, **UNREADABLE}[kind](60)
    image = read(path, data, (10, 10))
    [whole] = ImageFiles([path]).images()
    assert (image.size, image.problem) == (whole.size, whole.problem)
    if kind.endswith("jpg") and not image.problem:
        assert image.pixels.shape < whole.pixels.shape
    else:
        np.testing.assert_array_equal(image.pixels, whole.pixels)


def test_colours_of_cmyk_stay(tmp_path):
    image = read(tmp_path / "it.jpg", CMYK.read_bytes(), (10, 10))
    assert image.pixels.shape == (12, 16, 3)
    assert np.abs(image.pixels.mean((0, 1)) - (30, 60, 200)).max() < 40, "red stays red"


def test_progressive_files_too(tmp_path):
    done, data = cv2.imencode(".jpg", smooth(800, 640), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert done
    image = read(tmp_path / "it.jpg", bytes(data), (300, 300))
    assert (image.pixels.shape, image.size) == ((320, 400, 3), (640, 800))


def test_what_is_no_jpeg_is_not_decoded():
    for data in (b"", b"\xff\xd8", encoded(".png", smooth(640, 640))):
        assert decode_reduced(data, (10, 10)) is None


def test_images_are_whole_unless_reduced_ones_are_allowed(tmp_path):
    (tmp_path / "it.jpg").write_bytes(encoded(".jpg", smooth(800, 640)))
    [image] = open_source(str(tmp_path)).images()
    assert image.pixels.shape == (640, 800, 3)
    assert image.size == (640, 800)
