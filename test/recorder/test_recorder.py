"""The recorder: its table, its pictures, its video, and that it understands the nodes."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from probe import PATIENCE
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.node.messages import detections_to_msg, image_to_msg
from trt_ssd_ros.recorder.recorder_node import RecorderNode, status_names
from trt_ssd_ros.recorder.recording import (
    PICTURES,
    REPORT,
    VIDEO_RATE,
    VIDEO_WIDTH,
    Recording,
    Sighting,
    Video,
    clear,
    table,
    write_pictures,
)

pytestmark = pytest.mark.ros


def picture(shade: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture of one shade."""
    return np.full((height, width, 3), shade, np.uint8)


@pytest.fixture
def recording() -> Recording:
    """Two labels in ten frames."""
    return Recording(
        frames=10,
        latencies=[float(number) for number in range(101)],
        sightings={
            "Cat": Sighting(3, 0.875, (1, 20, 300, 4000), picture(10)),
            "Coffee cup": Sighting(9, 0.5, (5, 6, 7, 8), picture(200)),
            "Dog": Sighting(1),
        },
        counts={"engine": "Babbage 1", "processed": "10", "dropped": "5", "refused": "2"},
    )


def test_the_table_tells_what_was_seen(recording):
    lines = [line.split() for line in table(recording).splitlines()]
    assert lines[1] == ["Coffee", "cup", "0.50", "5", "6", "7", "8", "9"], "most frames first"
    assert lines[2] == ["Cat", "0.88", "1", "20", "300", "4000", "3"]
    assert lines[3] == ["Dog", "0.00", "0", "0", "0", "0", "1"]
    text = table(recording)
    assert re.search(r"^engine +Babbage 1$", text, re.MULTILINE)
    assert "17 in, 10 processed, 7 dropped (5 replaced by newer ones or lost, 2 unreadable)" in text
    assert "p50 50.0 ms, p99 99.0 ms" in text


def test_the_table_counts_from_the_first_diagnostics(recording):
    recording.counts_before = {"processed": "3", "dropped": "4"}
    assert "10 in, 7 processed, 3 dropped (1 replaced" in table(recording)


def test_the_table_does_without_diagnostics():
    text = table(Recording(frames=1, latencies=[1.0]))
    assert "unknown" in text
    assert "0 in, 0 processed, 0 dropped" in text


def test_pictures_can_be_opened(recording, tmp_path):
    paths = write_pictures(recording, tmp_path)
    assert [path.name for path in paths] == ["coffee_cup.png", "cat.png"]
    assert [cv2.imread(str(path)).mean() for path in paths] == [200, 10]


def test_a_video_has_a_frame_for_each_time_that_is_due(tmp_path):
    video = Video(tmp_path / "a.mkv")
    for frame, shade in enumerate((0, 250, 100, 250, 200, 250)):
        video.add(picture(shade, 1280, 720), 1000 + frame / VIDEO_RATE / 2)
    video.close()
    assert video.frames == 3
    capture = cv2.VideoCapture(str(video.path))
    frames = [capture.read()[1] for _ in range(3)]
    assert not capture.read()[0]
    assert {frame.shape for frame in frames} == {(360, VIDEO_WIDTH, 3)}
    assert [frame.mean() for frame in frames] == pytest.approx([0, 100, 200], abs=8)


def test_no_picture_no_video(tmp_path):
    Video(tmp_path / "a.mkv").close()
    assert not (tmp_path / "a.mkv").exists()


def test_a_video_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"cannot write .*nowhere"):
        Video(tmp_path / "nowhere" / "a.mkv").add(picture(1), 0)


def test_a_label_is_a_file_name_and_there_are_not_too_many(tmp_path):
    sightings = {
        f"A/B {number}": Sighting(number, 0.5, (0, 0, 1, 1), picture(1)) for number in range(PICTURES + 5)
    }
    paths = write_pictures(Recording(1, [1.0], sightings), tmp_path)
    assert [path.name for path in paths] == [f"a_b_{number}.png" for number in range(PICTURES + 4, 4, -1)]
    assert all(path.parent == tmp_path and path.is_file() for path in paths)


def test_a_folder_that_cannot_be_written_is_an_error(recording, tmp_path):
    (tmp_path / "coffee_cup.png").mkdir()
    with pytest.raises((RuntimeError, cv2.error)):
        write_pictures(recording, tmp_path)


def test_what_an_earlier_recording_wrote_goes_and_nothing_else(tmp_path):
    outside = tmp_path.parent / "dog.png"
    for path in (tmp_path / "cat.png", tmp_path / "mine.png", outside):
        path.touch()
    (tmp_path / REPORT).write_text(f"label\nwrote       {tmp_path}/cat.png\nwrote       ../dog.png\n")
    clear(tmp_path)
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    assert outside.exists()


@pytest.fixture
def video(tmp_path: Path) -> Video:
    """Gets the recorder's pictures."""
    return Video(tmp_path / "a.mkv")


@pytest.fixture
def recorder(domain: int, video: Video) -> Iterator[RecorderNode]:
    """A recorder in a process without any other node."""
    rclpy.init(args=[], domain_id=domain)
    node = RecorderNode(Recording(), video, io.StringIO())
    yield node
    node.destroy_node()
    rclpy.shutdown()


def detections(second: int, *scores: float) -> Detection2DArray:
    """Cats with these scores, each as wide as its score in percent."""
    found = Detections(
        np.array([[0, 0, 100 * score, 10] for score in scores], np.float32),
        np.array(scores, np.float32),
        np.zeros(len(scores), np.int32),
    )
    return detections_to_msg(found, Header(stamp=Time(sec=second)), ["Cat"])


def test_rows_need_no_debug_image_and_pictures_are_of_the_best_that_has_one(recorder, video):
    publisher = recorder.create_publisher(Detection2DArray, "detections", 10)
    pictures = recorder.create_publisher(Image, "debug_image", 10)

    def spin_until(condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            rclpy.spin_once(recorder, timeout_sec=0.1)
            assert time.monotonic() < end, "nothing came"

    def send(second: int, shade: int | None, *scores: float) -> None:
        frames, drawn = recorder.recording.frames, video.frames
        publisher.publish(detections(second, *scores))
        spin_until(lambda: recorder.recording.frames > frames)
        if shade is not None:
            pictures.publish(image_to_msg(picture(shade), "bgr", Header(stamp=Time(sec=second))))
            spin_until(lambda: video.frames > drawn)

    spin_until(lambda: publisher.get_subscription_count() and pictures.get_subscription_count())
    send(1, None, 0.5, 0.25)
    cat = recorder.recording.sightings["Cat"]
    assert (cat.frames, cat.score, cat.box, cat.picture) == (1, 0.5, (0, 0, 50, 10), None)
    send(2, 7, 0.75)
    send(3, 9, 0.25)
    send(4, None, 1.0)
    assert (cat.frames, cat.score, cat.box) == (4, 1.0, (0, 0, 100, 10))
    assert cat.picture is not None
    assert cat.picture.mean() == 7
    assert recorder.detectors == {"/recorder"}


def test_the_status_of_a_detector_goes_by_its_name():
    assert status_names(["/front", "/robot/detector"]) == {"front: detector", "/robot/detector: detector"}


def test_two_detectors_on_one_topic_are_refused(start_process, tmp_path):
    module = [sys.executable, "-m"]
    blank = [*module, "trt_ssd_ros.bench.ros.reference_nodes", "blank", "--ros-args", "-r"]
    for detector in [start_process([*blank, f"__node:={name}"]) for name in ("left", "right")]:
        detector.wait_until_it_says("waiting for images")
    start_process([*module, "trt_ssd_ros.camera.camera_node", "--ros-args", "-r", "image_raw:=image"])
    seconds = ["--seconds", "4"]  # in which the names of nodes are discovered
    recorder = start_process([*module, "trt_ssd_ros.recorder.recorder_node", *seconds, "--output", str(tmp_path)])
    assert recorder.wait() == 1
    assert "/detections has several publishers (/left, /right): give each detector its own topic" in recorder.log


def test_watches_the_nodes(start_node, start_process, tmp_path):
    start_process([sys.executable, "-m", "trt_ssd_ros.node.detector_node", "--ros-args", "-r", "image:=image_raw"])
    start_node("camera_node", rate=10.0)
    folder = tmp_path / "recording"
    recorder = start_process(
        [sys.executable, "-m", "trt_ssd_ros.recorder.recorder_node", "--seconds", "2", "--output", str(folder)]
    )
    assert recorder.wait() == 0
    assert "ONNX Runtime" in recorder.log
    counts = re.search(r"frames +(\d+) in, (\d+) processed", recorder.log)
    assert counts
    assert int(counts[2]) > 0
    assert re.search(r"p50 \d+\.\d ms", recorder.log)
    written = re.findall(r"wrote +(\S+)", recorder.log)
    assert len(written) >= 2, "a picture and the video"
    assert all(Path(path).stat().st_size > 500 for path in written)
    assert (folder / REPORT).read_text() in recorder.log
    assert all(cv2.VideoCapture(path).read()[0] for path in written)
    again = start_process([sys.executable, "-m", "trt_ssd_ros.recorder.recorder_node", "--output", str(folder)])
    assert again.wait() == 1
    assert f"{folder / REPORT} exists: give --overwrite to replace the recording" in again.log
