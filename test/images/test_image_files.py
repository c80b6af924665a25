"""Files of all kinds: which can be read, what they become, and what is passed over."""

import os
import threading

import cv2
import numpy as np
import pytest
from picture_files import READABLE, UNREADABLE, encoded, mixed_folder, picture, turned

from trt_ssd_ros.images.files import MOST_DECODERS, ImageFiles, read_image_file
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.source import SourceError


@pytest.mark.parametrize("kind", READABLE)
def test_what_can_be_read_becomes_bgr_of_its_size(tmp_path, kind):
    path = tmp_path / f"it.{kind}"
    path.write_bytes(READABLE[kind](60))
    image = read_image_file(path)
    assert image.dtype == np.uint8
    if kind == "cmyk.jpg":
        assert image.shape == (24, 32, 3)
        assert np.abs(image.mean((0, 1)) - (30, 60, 200)).max() < 40, "red stays red"
    else:
        assert image.shape == (30, 100, 3)
        assert np.abs(image.astype(int) - 60).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_exif(tmp_path, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    path = tmp_path / "it.jpg"
    path.write_bytes(turned(encoded(".jpg", np.ascontiguousarray(stored)), orientation))
    assert np.abs(read_image_file(path).astype(int) - upright).max() < 30


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_says_so(tmp_path, kind):
    path = tmp_path / f"it.{kind}"
    path.write_bytes(UNREADABLE[kind](60))
    with pytest.raises(SourceError, match=f"cannot read {path} as an image: it"):
        read_image_file(path)


@pytest.mark.parametrize("cut", [2, 40, 200])
def test_half_a_jpeg_is_none_even_where_opencv_would_make_do(tmp_path, monkeypatch, cut):
    """OpenCV 4.6 gives the half that it has; simulated, because the one here does not."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: picture(0))
    path, jpeg = tmp_path / "it.jpg", encoded(".jpg", picture(60))
    path.write_bytes(jpeg)
    assert read_image_file(path).shape == (30, 40, 3)
    path.write_bytes(jpeg[:-cut])
    with pytest.raises(SourceError, match="truncated"):
        read_image_file(path)


def test_the_end_of_a_thumbnail_is_not_that_of_the_image(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: picture(0))
    jpeg, thumbnail = encoded(".jpg", picture(60)), encoded(".jpg", picture(60))
    segment = b"\xff\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path, whole = tmp_path / "it.jpg", jpeg[:2] + segment + jpeg[2:]
    path.write_bytes(whole)
    assert read_image_file(path).shape == (30, 40, 3)
    path.write_bytes(whole[:-40])
    with pytest.raises(SourceError, match="truncated"):
        read_image_file(path)


@pytest.mark.parametrize("what", [b"a camera's own notes", b"the video of a motion photo \xff\xda"])
def test_what_follows_a_jpeg_does_not_hurt(tmp_path, what):
    (tmp_path / "it.jpg").write_bytes(encoded(".jpg", picture(1)) + what)
    assert read_image_file(tmp_path / "it.jpg").shape == (30, 41, 3)


def test_a_folder_of_500_gives_each_that_can_be_read_and_says_why_the_rest_cannot(tmp_path):
    good, bad = mixed_folder(tmp_path / "mixed", 500)
    source = open_source(str(tmp_path / "mixed"))
    for _ in range(2):
        problems = [image.problem for image in source.images()]
        assert problems.count("") == good
        assert sum("cannot read" in problem for problem in problems) == bad == 176
    assert source.count == good + bad


def test_start_leaves_the_first_out(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(encoded(".png", picture(number)))
    images = list(open_source(str(tmp_path)).images(start=3))
    assert [image.pixels.shape[1] - 40 for image in images] == [3, 4]
    assert [(image.index, image.name) for image in images] == [(3, "3.png"), (4, "4.png")]
    assert list(open_source(str(tmp_path)).images(start=5)) == []


def test_a_capture_is_decoded_only_when_it_is_called(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(encoded(".png", picture(number)))
    first, second = ImageFiles(sorted(tmp_path.glob("*.png"))).captures()
    (tmp_path / "0.png").unlink()
    assert "cannot read" in first().problem
    assert second().pixels.shape == (30, 41, 3)


def test_files_are_decoded_ahead_at_once_and_keep_their_order(tmp_path, monkeypatch):
    """The first decoding waits for the second one, so a single thread would never get past it."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(".png", np.full((2, 2, 3), number, np.uint8)))
    decode, second = cv2.imdecode, threading.Event()

    def waiting_decode(data, *how):
        pixels = decode(data, *how)
        if pixels[0, 0, 0] == 0:
            assert second.wait(10)
        second.set()
        return pixels

    monkeypatch.setattr(cv2, "imdecode", waiting_decode)
    assert [image.pixels[0, 0, 0] for image in ImageFiles(paths).images()] == list(range(20))


def test_no_thread_remains_when_the_images_are_closed_in_the_middle(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for path in paths:
        path.write_bytes(encoded(".png", picture(60)))
    decode, decoded = cv2.imdecode, []
    monkeypatch.setattr(cv2, "imdecode", lambda *how: (decoded.append(1), decode(*how))[1])
    images = ImageFiles(paths).images()
    next(images)
    images.close()
    for thread in threading.enumerate():
        if thread.name == "decode":
            thread.join(10)
            assert not thread.is_alive()
    assert 1 <= len(decoded) <= 1 + MOST_DECODERS
