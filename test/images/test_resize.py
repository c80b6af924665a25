"""Resize: the graph's rules on the CPU, and samples resized before their conversion."""

from __future__ import annotations

import threading
from itertools import pairwise, product
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.images.frame import SUPPORTED_ENCODINGS, frame_from_message
from trt_ssd_ros.images.resize import BAND_PIXELS, BatchResize, Resize
from trt_ssd_ros.models.shipped import sample_photos

RULES = ("half_pixel", "align_corners", "asymmetric")


def exact(pixels: NDArray[np.uint8], resize: Resize) -> NDArray[np.float32]:
    """The resize of the graph, in float, by ONNX Runtime."""
    size = np.array([1, resize.height, resize.width, 3], np.int64)
    node = helper.make_node(
        "Resize", ["x", "", "", "size"], ["y"], mode="linear", coordinate_transformation_mode=resize.rule
    )
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None, 3]) for name in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [onnx.numpy_helper.from_array(size, "size")])
    session = open_session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    return session.run(None, {"x": pixels[None].astype(np.float32)})[0][0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(640, 480), (1281, 719), (300, 300), (37, 1000), (1, 1)])
def test_pixels_are_those_of_the_graph(rule, size):
    photo = cv2.resize(sample_photos()[0], size, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).integers(-30, 30, photo.shape)
    pixels = np.clip(photo + noise, 0, 255).astype(np.uint8)
    resize = Resize(300, 320, rule)
    off = np.abs(resize(pixels) - exact(pixels, resize))
    assert off.max() < 0.5 + (2 * 255 / 64 if rule != "half_pixel" else 1)
    assert off.mean() < 0.5


@pytest.mark.parametrize("rule", RULES)
def test_a_side_that_opencv_does_not_take_is_refused(rule):
    resize = Resize(300, 300, rule)
    assert resize(np.zeros((2, 32766, 3), np.uint8)).shape == (300, 300, 3)
    if rule == "half_pixel":
        assert resize(np.zeros((2, 40000, 3), np.uint8)).shape == (300, 300, 3)
    else:
        with pytest.raises(ValueError, match=r"found 32767x2 pixels, expected sides of at most 32766 .* roi"):
            resize(np.zeros((2, 32767, 3), np.uint8))


@pytest.mark.parametrize("rule", RULES)
def test_strided_views_need_no_copy(rule):
    photo = sample_photos()[0]
    view, resize = photo[10:-9, 7:-30], Resize(300, 300, rule)
    np.testing.assert_array_equal(resize(view), resize(view.copy()))
    np.testing.assert_array_equal(resize(photo[..., ::-1]), resize(photo)[..., ::-1])


def yuv_planes(photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Y (H, W), and U and V (H/2, W/2, 2) of a photo."""
    height, width = photo.shape[:2]
    i420 = cv2.cvtColor(photo, cv2.COLOR_BGR2YUV_I420)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return i420[:height], np.ascontiguousarray(chroma.transpose(1, 2, 0))


def rows_of(photo: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """The bytes of a photo in an encoding, row by row."""
    height, width = photo.shape[:2]
    luma, chroma = yuv_planes(photo)
    if encoding in ("nv12", "nv21"):
        pairs = chroma if encoding == "nv12" else chroma[..., ::-1]
        return np.vstack([luma, pairs.reshape(height // 2, width)])
    if "y" in encoding.lower() or encoding == "yuv422":
        full = np.repeat(chroma, 2, axis=0).reshape(height, width)
        return np.dstack([luma, full] if encoding in ("yuyv", "yuv422_yuy2") else [full, luma]).reshape(height, -1)
    if encoding == "mono16":
        return (luma.astype(">u2") * 257).view(np.uint8)
    if encoding.startswith("bayer") or encoding in ("mono8", "8UC1"):
        return luma
    four = encoding in ("bgra8", "rgba8", "8UC4")
    return (cv2.cvtColor(photo, cv2.COLOR_BGR2BGRA) if four else photo).reshape(height, -1)


def message(encoding: str, padding: int) -> SimpleNamespace:
    """A photo as an image message; its colours do not matter."""
    photo = sample_photos()[0][:300, :450]
    rows = np.pad(rows_of(photo, encoding), ((0, 0), (0, padding)))
    return SimpleNamespace(
        height=300, width=450, encoding=encoding, is_bigendian=1, step=rows.shape[1], data=rows.tobytes()
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_samples_resized_before_their_conversion_give_the_pixels_resized_after_it(encoding, rule):
    resize, frame = Resize(200, 240, rule), frame_from_message(message(encoding, padding=13))
    early = frame.resized(resize)
    assert ("pixels" in vars(frame)) == encoding.startswith("bayer"), "only mosaics are converted"
    late = resize(frame.pixels)
    assert early.shape == late.shape == (240, 200, 3)
    assert frame.size == (300, 450)
    off = np.abs(early.astype(int) - late)
    shares_chroma = "yu" in encoding or encoding.startswith(("nv", "uy"))
    assert off.max() <= (30 if shares_chroma else 1)
    assert off.mean() < 0.8


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_batch_is_resized_image_by_image_in_any_number_of_threads(threads, count):
    photo, resize = sample_photos()[0], Resize(200, 100, "asymmetric")
    images = [photo[: 300 - 7 * number, number:] for number in range(count)]
    together = BatchResize(resize)
    together.threads = threads
    for _ in range(2):
        np.testing.assert_array_equal(together(images), [resize(image) for image in images])
        together.close()
        together.close()


def test_the_threads_of_a_batch_work_at_the_same_time():
    """Neither ends before both have begun."""
    both = threading.Barrier(2, timeout=10)

    class Meeting(Resize):
        def __call__(self, samples, out=None):
            both.wait()
            return super().__call__(samples, out)

    together = BatchResize(Meeting(20, 10, "asymmetric"))
    together.threads = 2
    assert together([sample_photos()[0]] * 4).shape == (4, 10, 20, 3)
    together.close()


@pytest.mark.parametrize(("rule", "bands"), [("asymmetric", 1), ("half_pixel", 4)])
def test_one_image_that_is_not_divided_starts_no_thread(rule, bands):
    together = BatchResize(Resize(20, 10, rule))
    together.threads, together.bands = 4, bands
    before = threading.active_count()
    together([np.zeros((2 * BAND_PIXELS // 1000, 1000, 3), np.uint8)])
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("images", "pixels", "threads", "most", "bands"),
    [
        (1, 9, 4, 4, 4),
        (1, 9, 16, 4, 4),
        (1, 9, 4, 1, 1),
        (1, 3.9, 4, 4, 3),
        (1, 0.9, 4, 4, 1),
        (2, 9, 4, 4, 4),
        (4, 9, 4, 4, 1),
        (5, 9, 4, 4, 1),
    ],
)
def test_few_large_images_are_divided_into_bands(images, pixels, threads, most, bands):
    together, resized = BatchResize(Resize(200, 100, "asymmetric")), []
    together.threads, together.bands = threads, most

    def note(image, band, place):
        assert place.shape == (band.height, 200, 3)
        resized.append((image.number, band.above, band.above + band.height))

    size = 1, int(pixels * BAND_PIXELS)
    together([SimpleNamespace(number=number, size=size) for number in range(images)], note)
    together.close()
    edges = [100 * number // bands for number in range(bands + 1)]
    assert sorted(resized) == [(image, *band) for image in range(images) for band in pairwise(edges)]


@pytest.mark.parametrize("bands", [1, 3, 300])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(1281, 719), (1920, 1080), (37, 1000), (1, 1), (5, 1)])
def test_bands_have_the_pixels_of_the_whole(size, rule, bands):
    photo, resize = cv2.resize(sample_photos()[0], size), Resize(200, 240, rule)
    for pixels in (photo, photo[size[1] // 3 :, size[0] // 4 :], photo[..., ::-1]):
        divided = [band(pixels) for band in resize.bands(bands)]
        assert len(divided) == (1 if rule == "half_pixel" else min(bands, 240))
        np.testing.assert_array_equal(np.concatenate(divided), resize(pixels))


@pytest.mark.parametrize("bands", [2, 3, 7])
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_bands_of_a_frame_have_the_pixels_of_the_whole(encoding, bands):
    frame = frame_from_message(message(encoding, padding=13))
    for window, width, rule in product([(0, 0, 450, 300), (11, 21, 212, 119)], [201, 300], RULES):
        part, resize = frame.cropped(*window), Resize(width, 240, rule)
        divided = [part.resized(band) for band in resize.bands(bands)]
        np.testing.assert_array_equal(np.concatenate(divided), part.resized(resize))


def test_bands_of_bands_are_bands_of_the_whole():
    photo, resize = sample_photos()[0], Resize(200, 101, "align_corners")
    divided = [part(photo) for band in resize.bands(3) for part in band.bands(2)]
    np.testing.assert_array_equal(np.concatenate(divided), resize(photo))


@pytest.mark.parametrize("bad", range(3))
def test_an_image_that_is_refused_in_any_thread_refuses_the_batch(bad):
    images = [np.zeros((2, 32767 if number == bad else 4, 3), np.uint8) for number in range(3)]
    together = BatchResize(Resize(20, 10, "asymmetric"))
    together.threads = 2
    with pytest.raises(ValueError, match="found 32767x2 pixels"):
        together(images)
    together.close()


WINDOWS = [
    (0, 0, 450, 300),
    (10, 20, 210, 120),
    (11, 21, 212, 119),
    (449, 299, 450, 300),
    (0, 1, 2, 3),
    (1, 0, 2, 300),
]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_a_part_of_a_frame_has_the_pixels_of_the_whole(encoding, window):
    left, top, right, bottom = window
    frame = frame_from_message(message(encoding, padding=13))
    part = frame.cropped(*window)
    assert part.size == (bottom - top, right - left)
    assert part.channel_order == frame.channel_order
    part.resized(Resize(20, 20, "asymmetric"))
    assert ("pixels" in vars(frame)) == encoding.startswith("bayer"), "the rest is not converted"
    assert "pixels" not in vars(part), "the samples are resized"
    np.testing.assert_array_equal(part.pixels, frame.pixels[top:bottom, left:right])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_a_part_is_resized_like_a_frame_of_its_own(encoding, window, rule):
    resize, part = Resize(200, 240, rule), frame_from_message(message(encoding, padding=13)).cropped(*window)
    early, late = part.resized(resize), resize(part.pixels)
    assert early.shape == (240, 200, 3)
    off = np.abs(early.astype(int) - late)
    assert off.max() <= (48 if "yu" in encoding or encoding.startswith(("nv", "uy")) else 1)
    assert off.mean() < 2


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "yuyv", "uyvy"])
def test_each_pixel_has_the_chroma_of_its_own_block(encoding):
    """In its own size, every part is converted exactly, from odd rows and columns as well."""
    frame = frame_from_message(message(encoding, padding=13))
    for window in WINDOWS:
        part = frame.cropped(*window)
        height, width = part.size
        off = np.abs(part.resized(Resize(width, height, "asymmetric")).astype(int) - part.pixels)
        assert off.max() <= 1


@pytest.mark.parametrize("encoding", ["nv12", "yuyv", "bgr8"])
def test_a_part_of_a_part_is_a_part_of_the_whole(encoding):
    frame = frame_from_message(message(encoding, padding=13))
    np.testing.assert_array_equal(
        frame.cropped(11, 21, 212, 119).cropped(5, 6, 100, 97).pixels, frame.pixels[27:118, 16:111]
    )
