"""Video files, played to the end."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.source import SourceError


def write_video(path: Path, frames: int, codec: str = "MJPG") -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number % 250, np.uint8))
    writer.release()


@pytest.mark.parametrize(("name", "codec"), [("it.avi", "MJPG"), ("it.mp4", "mp4v"), ("it.webm", "VP80")])
def test_every_frame_comes_and_comes_again(tmp_path, name, codec):
    write_video(tmp_path / name, 2000 if codec == "MJPG" else 100, codec)
    source = open_source(str(tmp_path / name))
    assert source.rate == 25
    count = 2000 if codec == "MJPG" else 100
    assert sum(1 for _ in source.images()) == count
    assert sum(1 for _ in source.images()) == count
    source.close()


def test_start_leaves_the_first_out_in_every_round(tmp_path):
    write_video(tmp_path / "it.avi", 20)
    source = open_source(f"file:{tmp_path / 'it.avi'}")
    for _ in range(2):
        levels = [round(float(image.pixels.mean())) for image in source.images(start=15)]
        assert levels == pytest.approx([15, 16, 17, 18, 19], abs=2)
    assert list(source.images(start=20)) == []


def test_frames_have_the_time_of_the_file(tmp_path):
    write_video(tmp_path / "it.avi", 20)
    source = open_source(str(tmp_path / "it.avi"))
    images = list(source.images())
    assert source.count == 20
    assert [image.name for image in images[:2]] == ["000000", "000001"]
    assert images[10].seconds == pytest.approx(0.4, abs=0.05)


def test_what_ffmpeg_cannot_open(tmp_path):
    (tmp_path / "it.mp4").write_text("text")
    with pytest.raises(SourceError, match=r"cannot open .*it.mp4 as an image or a video"):
        open_source(str(tmp_path / "it.mp4"))
