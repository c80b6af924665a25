"""The camera node as a process, over real DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from probe import Probe
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from trt_ssd_ros.core.frames import frame_from_message

pytestmark = pytest.mark.ros

RELIABLE_QUEUE = QoSProfile(depth=50)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of eight pictures, told apart by their width, a text and a picture that cannot be read."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(8):
        picture = np.full((20, 40 + number, 3), number, np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.png").write_bytes(b"not a picture either")
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 25 pictures, 12.5 a second."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (64, 48))
    assert writer.isOpened()
    for number in range(25):
        writer.write(np.full((48, 64, 3), number * 10, np.uint8))
    writer.release()
    return path


def test_shows_the_demo_at_the_rate_that_is_set(probe: Probe, start_node: Any) -> None:
    images, infos = probe.receive(Image, "image_raw"), probe.receive(CameraInfo, "camera_info")
    process = start_node("camera_node", frame_id="front", rate=20.0)
    probe.spin_until(lambda: len(images) >= 20, "20 images")
    assert "publishing demo at 20 Hz" in process.log
    assert 2 < rate(images) < 22
    sizes = {stamp(info): (info.width, info.height, info.header.frame_id) for info in infos}
    assert sum(stamp(image) in sizes for image in images) >= 10, "camera_info has the stamp of its image"
    for image in images:
        assert (image.width, image.height, image.encoding, image.step) == (1280, 720, "bgr8", 3840)
        assert sizes.get(stamp(image), (1280, 720, "front")) == (1280, 720, image.header.frame_id)
    assert images[0].data != images[-1].data, "the window wanders"


def test_shows_a_photo_again_and_again(probe: Probe, start_node: Any, repository: Path, photo: Any) -> None:
    images = probe.receive(Image, "image_raw")
    start_node("camera_node", source=f"file:{repository / 'photos' / 'chelsea.jpg'}")
    probe.spin_until(lambda: len(images) > 2, "three times the photo")
    for image in images:
        np.testing.assert_array_equal(frame_from_message(image).pixels, photo("chelsea"))


def test_shows_each_picture_of_a_folder_once(probe: Probe, start_node: Any, album: Path) -> None:
    images = probe.receive(Image, "image_raw")
    process = start_node("camera_node", source=album, loop=False, rate=1.5)
    probe.spin_until(lambda: not process.running, "the end of the folder")
    assert process.wait() == 0
    assert "the source ended after 8 images" in process.log
    probe.happens(lambda: images and images[-1].width == 47, 1.0)
    widths = [image.width for image in images]
    assert widths, "only what comes before the test has discovered the publisher is missing: up to 3 s"
    assert widths == list(range(48 - len(widths), 48)), "in order, to the last, each once"


def test_starts_a_folder_again_at_its_end(probe: Probe, start_node: Any, album: Path) -> None:
    images = probe.receive(Image, "image_raw", RELIABLE_QUEUE)
    start_node("camera_node", source=album, rate=50.0)
    probe.spin_until(lambda: len(images) > 20, "images")
    steps = np.diff([image.width for image in images])
    assert {image.width for image in images} == set(range(40, 48))
    assert ((steps == 1) | (steps == -7)).mean() > 0.7, "in order, but for a few lost ones"


def test_plays_a_video_at_its_own_rate(probe: Probe, start_node: Any, video: Path) -> None:
    images = probe.receive(Image, "image_raw", RELIABLE_QUEUE)
    process = start_node("camera_node", source=video)
    probe.spin_until(lambda: len(images) >= 15, "the better half of the video")
    assert "at 12.5 Hz" in process.log
    assert {(image.width, image.height) for image in images} == {(64, 48)}
    assert 2 < rate(images) < 13.5
    steps = np.diff([np.mean(image.data) for image in images])
    assert (np.abs(steps - 10) < 3).mean() > 0.7, (
        "in order, but for a few lost ones and the start of the next round"
    )


def test_plays_a_video_once(start_node: Any, video: Path) -> None:
    process = start_node("camera_node", source=video, loop=False, rate=100.0)
    assert process.wait() == 0
    assert "the source ended after 25 images" in process.log


def stamp(message: Any) -> int:
    """The stamp of a message in nanoseconds."""
    return Time.from_msg(message.header.stamp).nanoseconds


def rate(images: list[Image]) -> float:
    """Images a second by their stamps; one that was lost makes it lower."""
    return (len(images) - 1) / (stamp(images[-1]) - stamp(images[0])) * 1e9


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/no/such/place", ["/no/such/place does not exist"]),
        ("file:/no/such/place", ["/no/such/place does not exist"]),
        ("{tmp_path}", ["found no image in {tmp_path}", ".jpg"]),
        ("{tmp_path}/text.mp4", ["cannot open {tmp_path}/text.mp4 as an image or a video"]),
        ("{tmp_path}/text.jpg", ["found 1 files none of which is an image"]),
        ("webcam:front", ["webcam:front", "webcam:0"]),
        ("webcam:93", ["webcam:93 needs /dev/video93", "does not exist"]),
    ],
    ids=["missing", "missing file:", "empty folder", "no video", "no image", "no number", "no webcam"],
)
def test_a_wrong_source_ends_with_one_line(start_node: Any, tmp_path: Path, source: str, said: list[str]) -> None:
    if source != "{tmp_path}":
        (tmp_path / "text.mp4").write_text("text")
        (tmp_path / "text.jpg").write_text("text")
    process = start_node("camera_node", source=source.format(tmp_path=tmp_path))
    assert process.wait() == 1
    assert "Traceback" not in process.log
    [line] = [line for line in process.log.splitlines() if "[FATAL]" in line]
    assert all(text.format(tmp_path=tmp_path) in line for text in said)
    others = [text for text in process.log.splitlines() if text != line and "[INFO]" not in text]
    if "text." not in source:  # FFmpeg says something too, and every picture passed over is named
        assert others == []


@pytest.mark.parametrize("parameters", [{"rate": -1.0}, {"rate": "fast"}], ids=["range", "type"])
def test_a_wrong_rate_ends_with_one_line(start_node: Any, parameters: dict[str, Any]) -> None:
    process = start_node("camera_node", **parameters)
    assert process.wait() == 1
    [line] = process.log.strip().splitlines()
    assert "[FATAL]" in line
    assert "rate" in line
