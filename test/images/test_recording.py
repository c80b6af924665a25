"""Recordings, read without ROS."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from bags import START, compressed_message, image_message, write_bag
from media import Image, pan
from rosbags.rosbag2 import StoragePlugin

from trt_ssd_ros.images.open_source import open_sources
from trt_ssd_ros.images.recording import Recording, _name, stamp_of
from trt_ssd_ros.images.source import SourceError


@pytest.fixture(scope="module")
def pictures(repository: Path) -> list[Image]:
    import cv2

    return pan(cv2.imread(str(repository / "photos" / "chelsea.jpg")), 3, 64, 48)


@pytest.mark.parametrize("storage", StoragePlugin)
@pytest.mark.parametrize("message", [image_message, compressed_message])
def test_every_pixel_and_stamp_arrives(tmp_path, pictures, storage, message):
    bag = write_bag(tmp_path / "bag", pictures, storage, message)
    images = Recording(bag)
    assert images.count == 3
    found = list(images.images())
    images.close()
    assert [image.name for image in found] == [f"1700000000.{123_456_789 + n * 10**8}" for n in range(3)]
    assert found[1].seconds == pytest.approx((START + 10**8) / 1e9)
    assert {image.channel_order for image in found} == {"bgr"}
    for image, picture in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(image.pixels, picture)


def test_a_file_of_a_recording_and_an_rgb_camera(tmp_path, pictures):
    message = functools.partial(image_message, encoding="rgb8")
    bag = write_bag(tmp_path / "bag", pictures, StoragePlugin.MCAP, message)
    images = open_sources([str(bag / "bag.mcap")], exclude=[tmp_path / "out"])
    first, *_ = images.images(start=1)
    images.close()
    assert (first.index, first.channel_order) == (1, "rgb")
    np.testing.assert_array_equal(first.pixels[..., ::-1], pictures[1])


def test_an_image_without_a_stamp_has_the_time_of_its_recording(tmp_path, pictures):
    bag = write_bag(tmp_path / "bag", pictures, StoragePlugin.MCAP, lambda picture, _: image_message(picture, 0))
    images = Recording(bag)
    assert next(images.images()).name == f"1700000000.{123_456_789 + 5}"
    images.close()


@pytest.mark.parametrize("nanoseconds", [START, START + 1, 5, 0, -1, -3_000_000_001])
@pytest.mark.parametrize("number", [1, 2])
def test_the_name_of_an_image_holds_its_exact_stamp(nanoseconds, number):
    assert stamp_of(_name(nanoseconds, number)) == nanoseconds
    assert stamp_of("000123") is None


def test_images_with_equal_stamps_have_names_of_their_own(tmp_path, pictures):
    """Also where a run goes on behind the first of them."""
    bag = write_bag(
        tmp_path / "bag", pictures, StoragePlugin.MCAP, lambda picture, _: image_message(picture, START)
    )
    images = Recording(bag)
    name = "1700000000.123456789"
    for start in (0, 1):
        assert [image.name for image in images.images(start)] == [name, f"{name}_2", f"{name}_3"][start:]
    images.close()


def test_an_image_that_cannot_be_read_is_passed_over(tmp_path, pictures):
    def short(picture, now):
        message = image_message(picture, now)
        message.data = message.data[: 100 if now > START else None]
        return message

    images = Recording(write_bag(tmp_path / "bag", pictures, StoragePlugin.SQLITE3, short))
    problems = [image.problem for image in images.images()]
    images.close()
    assert not problems[0]
    assert "data has 100 bytes, expected 9216" in problems[1]


def test_the_topic_must_be_clear(tmp_path, pictures):
    bag = write_bag(tmp_path / "bag", pictures, StoragePlugin.SQLITE3, topics=("/left", "/right"))
    with pytest.raises(SourceError, match=r"found images on /left, /right, expected one: choose it with --topic"):
        Recording(bag)
    with pytest.raises(SourceError, match=r"found images on /left, /right, expected topic /middle"):
        Recording(bag, "/middle")
    images = Recording(bag, "/right")
    assert len(list(images.images())) == 3
    images.close()


@pytest.mark.parametrize("name", ["bag.mcap", "bag/metadata.yaml"])
def test_what_is_no_recording_is_refused(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("nothing: of the kind")
    bag = path if path.suffix == ".mcap" else path.parent
    with pytest.raises(SourceError, match="as a ROS 2 recording"):
        open_sources([str(bag)], exclude=[tmp_path / "out"])
