"""Annotated videos and pictures."""

from __future__ import annotations

import sys

import av
import cv2
import numpy as np
import pytest
from media import pan, write_video

from trt_ssd_ros.tools.detect.annotated import AnnotatedFiles, AnnotatedVideo


def test_a_browser_can_play_the_video_from_its_first_bytes_on(tmp_path, photo):
    path = write_video(tmp_path / "v.mp4", pan(photo("coffee"), 30, 321, 241))
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.format.name) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (320, 240)
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
    np.testing.assert_allclose(times, np.arange(30) / 30, atol=1e-4)


def test_colours_survive(tmp_path):
    """Against the matrix that the file names: a player that believes the file shows what was drawn."""
    colours = [(40, 60, 200), (200, 80, 40), (60, 190, 60)]
    picture = np.concatenate([np.full((64, 64, 3), colour, np.uint8) for colour in colours], 1)
    with av.open(str(write_video(tmp_path / "v.mp4", [picture]))) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (6, 1)
    shown = frame.to_ndarray(format="bgr24")
    for number, colour in enumerate(colours):
        np.testing.assert_allclose(shown[32, 64 * number + 32], colour, atol=4)


def test_times_that_stand_or_jump_back_still_go_forward(tmp_path):
    video = AnnotatedVideo(tmp_path / "v.mp4")
    for seconds in (5.0, 5.0, 4.0, 6.0):
        video.add("", np.zeros((32, 32, 3), np.uint8), seconds)
    video.finish()
    with av.open(str(tmp_path / "v.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == sorted(set(times))
    assert float(times[-1]) == pytest.approx(1, abs=1e-3)


def test_an_image_of_another_size_is_fitted(tmp_path):
    path = write_video(tmp_path / "v.mp4", [np.zeros((64, 96, 3), np.uint8), np.zeros((300, 200, 3), np.uint8)])
    with av.open(str(path)) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(96, 64)] * 2


def test_a_size_that_h264_cannot_encode_is_an_error(tmp_path):
    video = AnnotatedVideo(tmp_path / "v.mp4")
    with pytest.raises(ValueError, match=r"^H\.264 cannot encode a picture of 4x40000: "):
        video.add("", np.zeros((40000, 4, 3), np.uint8), 0.0)
    video.finish()
    video.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finished", [True, False])
def test_a_video_is_there_as_a_whole_or_not_at_all(tmp_path, finished):
    video = AnnotatedVideo(tmp_path / "v.mp4")
    if not finished:
        video.add("", np.zeros((32, 32, 3), np.uint8), 0.0)
    else:
        video.finish()  # there was no image
    video.close()
    assert list(tmp_path.iterdir()) == []


def test_without_pyav_one_line_says_what_helps(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RuntimeError, match=r"^writing MP4 needs av \(.*\): pip install av$"):
        AnnotatedVideo(tmp_path / "v.mp4")


@pytest.mark.parametrize(
    ("name", "suffix", "written"),
    [
        ("a/b.jpg", "", "a/b.jpg"),
        ("b.JPEG", "", "b.JPEG"),
        ("b.bmp", "", "b.bmp.png"),
        ("b.png", ".jpg", "b.png.jpg"),
        ("000012", ".jpg", "000012.jpg"),
        ("17.000000005", ".png", "17.000000005.png"),
    ],
)
def test_pictures_keep_their_names(tmp_path, name, suffix, written):
    AnnotatedFiles(tmp_path, suffix).add(name, np.full((9, 9, 3), 77, np.uint8), None)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.relative_to(tmp_path).as_posix() == written
    assert cv2.imread(str(path))[4, 4, 0] == pytest.approx(77, abs=1)
