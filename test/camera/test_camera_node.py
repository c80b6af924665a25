"""The camera node as a process, over real DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from picture_files import mixed_folder
from probe import BEST_EFFORT
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from trt_ssd_ros.camera.camera_node import find_checked
from trt_ssd_ros.images.frame import frame_from_message
from trt_ssd_ros.images.source import SourceError

pytestmark = pytest.mark.ros

RELIABLE_QUEUE = QoSProfile(depth=50)
CALIBRATION = """
image_width: 43
image_height: 20
camera_name: head
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 21, 0, 500, 10, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [500, 0, 21, 0, 0, 500, 10, 0, 0, 0, 1, 0]}
"""


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


def test_shows_the_demo_at_the_rate_that_is_set(probe, start_node):
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


def test_shows_a_photo_again_and_again(probe, start_node, repository, photo):
    images = probe.receive(Image, "image_raw")
    start_node("camera_node", source=f"file:{repository / 'photos' / 'chelsea.jpg'}")
    probe.spin_until(lambda: len(images) > 2, "three times the photo")
    for image in images:
        np.testing.assert_array_equal(frame_from_message(image).pixels, photo("chelsea"))


def test_shows_each_picture_of_a_folder_once(probe, start_node, album):
    images = probe.receive(Image, "image_raw", RELIABLE_QUEUE)
    process = start_node("camera_node", source=album, loop=False, rate=20.0)
    probe.spin_until(lambda: not process.running, "the end of the folder")
    assert process.wait() == 0
    assert "the source ended after 8 images, 1 file skipped: the node ends, as loop is false" in process.log
    probe.happens(lambda: len(images) == 8, 1.0)
    assert [image.width for image in images] == list(range(40, 48)), "in order, each once"


def test_a_photo_that_is_shown_once_waits_for_whoever_looks(probe, start_node, album):
    process = start_node("camera_node", source=album / "3.png", loop=False)
    process.wait_until_it_says("waiting for a subscriber on /image_raw")
    images = probe.receive(Image, "image_raw", BEST_EFFORT)
    probe.spin_until(lambda: not process.running, "the end of the photo")
    assert process.wait() == 0
    probe.happens(lambda: images, 1.0)
    assert [image.width for image in images] == [43]


def test_ends_while_nobody_looks(start_node, album):
    start_node("camera_node", source=album, loop=False).wait_until_it_says("waiting for a subscriber")


def test_starts_a_folder_again_at_its_end(probe, start_node, album):
    images = probe.receive(Image, "image_raw", RELIABLE_QUEUE)
    start_node("camera_node", source=album, rate=50.0)
    probe.spin_until(lambda: len(images) > 20, "images")
    steps = np.diff([image.width for image in images])
    assert {image.width for image in images} == set(range(40, 48))
    assert ((steps == 1) | (steps == -7)).mean() > 0.7, "in order, but for a few lost ones"


def test_plays_a_video_at_its_own_rate(probe, start_node, video):
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


def test_plays_a_video_of_2000_frames_once(probe, start_node, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "it.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(2000):
        writer.write(np.full((48, 64, 3), number % 250, np.uint8))
    writer.release()
    probe.receive(Image, "image_raw", RELIABLE_QUEUE)
    process = start_node("camera_node", source=tmp_path / "it.avi", loop=False, rate=1000.0)
    probe.spin_until(lambda: not process.running, "the end of the video")
    assert process.wait() == 0
    assert "the source ended after 2000 images" in process.log


def test_plays_a_folder_of_500_mixed_files_once(probe, start_node, tmp_path):
    good, bad = mixed_folder(tmp_path / "mixed", 500)
    infos = probe.receive(CameraInfo, "camera_info", RELIABLE_QUEUE)
    images = probe.receive(Image, "image_raw", RELIABLE_QUEUE)
    process = start_node("camera_node", source=tmp_path / "mixed", loop=False, rate=500.0)
    probe.spin_until(lambda: not process.running, "the end of the folder")
    assert process.wait() == 0
    assert f"the source ended after {good} images, {bad} files skipped" in process.log
    assert process.log.count("skipped: cannot read") == bad
    sizes = {stamp(info): (info.width, info.height) for info in infos}
    both = [image for image in images if stamp(image) in sizes]
    assert both
    assert all(sizes[stamp(image)] == (image.width, image.height) for image in both)


def test_camera_info_comes_from_the_calibration(probe, start_node, album, tmp_path):
    (tmp_path / "head.yaml").write_text(CALIBRATION)
    infos = probe.receive(CameraInfo, "camera_info", RELIABLE_QUEUE)
    process = start_node("camera_node", source=album, calibration=tmp_path / "head.yaml", rate=30.0)
    probe.spin_until(lambda: {info.width for info in infos} >= {43, 44}, "two sizes")
    for info in infos:
        calibrated = info.width == 43
        assert info.distortion_model == ("plumb_bob" if calibrated else "")
        assert list(info.d) == ([0.1, -0.2, 0.0, 0.0, 0.0] if calibrated else [])
        assert info.k[0] == (500.0 if calibrated else 0.0)
        assert info.p[6] == (10.0 if calibrated else 0.0)
    assert process.log.count("camera_info is empty: images are 40x20, the calibration is for 43x20") == 1


def test_a_wrong_calibration_ends_with_one_line(start_node, tmp_path):
    (tmp_path / "head.yaml").write_text("image_width: 43")
    process = start_node("camera_node", calibration=tmp_path / "head.yaml")
    assert process.wait() == 1
    [line] = process.log.strip().splitlines()
    assert "[FATAL]" in line
    assert "calibration: " in line
    assert "distortion_model: found None" in line


def stamp(message: Any) -> int:
    """The stamp of a message in nanoseconds."""
    return Time.from_msg(message.header.stamp).nanoseconds


def rate(images: list[Image]) -> float:
    """Images a second by their stamps; one that was lost makes it lower."""
    return (len(images) - 1) / (stamp(images[-1]) - stamp(images[0])) * 1e9


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("file:/no/such/place", ["/no/such/place does not exist"]),
        ("''", ["source: found an empty name"]),
        ("{tmp_path}", ["found no image in {tmp_path}", ".jpg"]),
        ("{tmp_path}/text.mp4", ["cannot open {tmp_path}/text.mp4 as an image or a video"]),
        ("{tmp_path}/text.jpg", ["found 1 file, but no image that can be read"]),
        ("webcam:front", ["webcam:front", "webcam:0"]),
        ("rstp://camera/1", ["found the protocol 'rstp'", "did you mean rtsp?"]),
    ],
    ids=["missing", "nothing", "empty folder", "no video", "no image", "no number", "protocol"],
)
def test_a_wrong_source_ends_with_one_line(refused, tmp_path, source, said):
    folder = tmp_path / "sources"
    folder.mkdir()
    if source != "{tmp_path}":
        (folder / "text.mp4").write_text("text")
        (folder / "text.jpg").write_text("text")
    log = refused("camera_node", source=source.format(tmp_path=folder))
    assert "Traceback" not in "".join(log)
    [line] = [line for line in log if "[FATAL]" in line]
    assert all(text.format(tmp_path=folder) in line for text in said)
    others = [text for text in log if text != line and "[INFO]" not in text]
    if "text." not in source:  # FFmpeg says something too, and every picture passed over is named
        assert others == []


def test_the_process_of_a_wrong_source_ends(start_node):
    process = start_node("camera_node", source="/no/such/place")
    assert process.wait() == 1
    assert "Traceback" not in process.log
    [line] = [line for line in process.log.splitlines() if "[INFO]" not in line]
    assert "[FATAL]" in line
    assert "/no/such/place does not exist" in line


def test_a_missing_webcam_ends_the_node_unless_it_waits(start_node, refused):
    waiting = start_node("camera_node", source="webcam:93")
    [line] = refused("camera_node", source="webcam:93", wait_for_source=False)
    assert "[FATAL]" in line
    assert "webcam:93 needs /dev/video93, which does not exist" in line
    waiting.wait_until_it_says("which does not exist; found")
    waiting.wait_until_it_says("trying again until it opens (wait_for_source:=false ends the node instead)")


@pytest.mark.parametrize("name", ["rtsp://me:secret@a/b", "webcam:0", "gstreamer:videotestsrc"])
def test_a_live_source_has_no_start(name):
    with pytest.raises(SourceError, match="start: found 3, expected 0") as refused:
        find_checked(name, 3, 0, 0, 0.0)
    assert "secret" not in str(refused.value)


def test_a_start_behind_the_end_ends_with_one_line(refused, album):
    log = refused("camera_node", source=album, start=9)
    assert "start: found 9, expected at most 8: the source has 9 images" in "".join(log)


@pytest.mark.parametrize("name", ["start", "width", "height"])
def test_the_demo_takes_no_size_and_no_start(refused, name):
    [line] = refused("camera_node", **{name: 5})
    assert "source: demo has a fixed size and order: found" in line
    assert f"{name} 5" in line


@pytest.mark.parametrize("parameters", [{"rate": -1.0}, {"rate": "fast"}], ids=["range", "type"])
def test_a_wrong_rate_ends_with_one_line(start_node, parameters):
    process = start_node("camera_node", **parameters)
    assert process.wait() == 1
    [line] = process.log.strip().splitlines()
    assert "[FATAL]" in line
    assert "rate" in line
