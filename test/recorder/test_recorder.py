"""The recorder: its table, its pictures, its video, and that it understands the nodes."""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from probe import PATIENCE
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.errors import INTERRUPTED
from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.compressed import encode_jpeg
from trt_ssd_ros.images.frame import FrameError
from trt_ssd_ros.node.messages import compressed_to_msg, detections_to_msg
from trt_ssd_ros.recorder.detectors import TYPE, Detector, choose, other_detectors, publishers_of, spin_until
from trt_ssd_ros.recorder.recorder_node import RecorderNode
from trt_ssd_ros.recorder.recording import (
    REPORT,
    WAITING_FRAMES,
    Found,
    Recording,
    clear,
    images,
    latency,
    pictures,
    recording_folder,
    table,
    write_pictures,
)
from trt_ssd_ros.recorder.video import VIDEO_RATE, VIDEO_WIDTH, Video

pytestmark = pytest.mark.ros
BOX = (1, 20, 300, 4000)
COUNTS = {"processed": "10", "dropped": "5", "lost": "1", "refused": "2"}


def jpeg(shade: int, width: int = 64, height: int = 48) -> bytes:
    """A picture of one shade."""
    return encode_jpeg(np.full((height, width, 3), shade, np.uint8), "bgr")


def recorded(*frames: tuple[dict[str, float], bytes | None]) -> Recording:
    """A recording of frames: the score of each label, and the picture if it was received."""
    recording = Recording()
    for stamp, (scores, picture) in enumerate(frames, 1):
        recording.add_detections(stamp, [Found(label, score, BOX) for label, score in scores.items()])
        if picture is not None:
            recording.add_picture(stamp, picture)
    return recording


def test_a_row_is_the_best_frame_that_has_a_picture():
    recording = recorded(
        ({"cat": 0.5}, None), ({"cat": 0.3}, b"2"), ({"cat": 0.4, "cup": 0.2}, b"3"), ({"cat": 0.9}, None)
    )
    recording.add_detections(5, [Found("cat", 0.1, BOX), Found("cat", 0.6, (0, 0, 1, 1)), Found("cat", 0.2, BOX)])
    recording.add_picture(5, b"5")
    cat = recording.sightings["cat"]
    assert (cat.best, cat.picture, cat.frames) == (Found("cat", 0.6, (0, 0, 1, 1)), b"5", 5)
    assert recording.sightings["cup"].picture == b"3"
    assert (recording.frames, recording.pictures, recording.early, recording.dropped) == (5, 3, 1, 1)
    recording.add_detections(6, [])
    recording.finish()
    assert recording.dropped == 2, "the picture of the last frame has not arrived"
    assert pictures(recording).startswith("3 of 6 frames recorded, 1 before the first picture, 2 dropped: ")


def test_a_picture_may_arrive_before_its_detections():
    recording = Recording()
    for stamp in (2, 3):
        recording.add_picture(stamp, b"%d" % stamp)
    for stamp in (1, 2, 3):
        recording.add_detections(stamp, [Found("cat", stamp / 10, BOX)])
    assert recording.sightings["cat"].picture == b"3"
    assert (recording.pictures, recording.dropped) == (2, 0)


def test_images_without_a_stamp_match_no_picture():
    recording = Recording()
    for _ in range(2):
        recording.add_picture(0, b"")
        recording.add_detections(0, [Found("cat", 0.5, BOX)])
    recording.finish()
    assert (recording.pictures, recording.early) == (0, 2)
    assert recording.sightings["cat"].picture is None


def test_no_more_frames_wait_than_the_recorder_can_hold():
    recording = recorded(({}, b""), *[({"cat": 0.5}, None)] * (WAITING_FRAMES + 5))
    assert recording.dropped == 5


def test_the_table_says_what_was_seen_and_where_its_picture_is(tmp_path):
    frames = [
        ({"Coffee cup": 0.5}, jpeg(200)),
        ({"Coffee cup": 0.4, "Cat": 0.875}, jpeg(10)),
        ({"Dog": 0.25}, None),
    ]
    recording = recorded(*frames)
    lines = [line.split() for line in table(recording, write_pictures(recording, tmp_path)).splitlines()]
    assert lines[1] == ["Coffee", "cup", "0.50", "1", "20", "300", "4000", "2", "coffee_cup.jpg"], (
        "most frames first"
    )
    assert lines[2] == ["Cat", "0.88", "1", "20", "300", "4000", "1", "cat.jpg"]
    assert lines[3] == ["Dog", "0.25", "1", "20", "300", "4000", "1", "none:", "not", "recorded"]
    assert ["pictures", "2", "of", "3", "frames", "recorded"] in lines
    assert {path.name: cv2.imread(str(path)).mean() for path in tmp_path.iterdir()} == {
        "coffee_cup.jpg": 200,
        "cat.jpg": 10,
    }


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (COUNTS, "10 processed, 4 replaced by newer ones, 1 lost by the middleware, 2 unreadable"),
        (COUNTS | {"lost": "unknown"}, "10 processed, 5 replaced by newer ones or lost by the middleware, 2 unre"),
        (COUNTS | {"dropped": "unknown"}, "10 processed, replaced or lost ones unknown: the middleware does not"),
        ({}, "unknown: "),
    ],
)
def test_the_frame_counts_say_only_what_is_known(counts, text):
    before = dict.fromkeys(counts, "0")
    assert images(Recording(counts=counts, counts_before=before)).startswith(text)


def test_the_frame_counts_begin_with_the_recording():
    recording = Recording(counts=COUNTS, counts_before=COUNTS | {"processed": "3", "dropped": "4"})
    assert images(recording).startswith("7 processed, 1 replaced")
    assert recording.growth("lost") == 0


@pytest.mark.parametrize("before", [COUNTS, COUNTS | {"processed": "11"}])
def test_one_diagnostics_or_a_restarted_detector_gives_no_frame_counts(before):
    assert images(Recording(counts=COUNTS, counts_before=before)).startswith("unknown: fewer than two")


def test_without_pictures_the_report_names_the_parameter():
    assert pictures(recorded(({}, None))).endswith(": no debug_image/compressed matches the detections' stamps")
    assert pictures(Recording(has_pictures=False)).endswith(": set its parameter debug_image to true")


def test_the_latency_is_that_of_the_detector():
    assert latency({"latency p50 ms": "12.34", "latency p99 ms": "56.78"}).startswith("p50 12.34 ms, p99 56.78 ms")
    assert latency({"engine": "Babbage 1"}).startswith("unknown")


def test_a_browser_plays_the_video_at_the_speed_of_the_stamps(tmp_path):
    video = Video(tmp_path / "a.mp4")
    seconds = [number / 3 / VIDEO_RATE for number in range(9)]
    for number, second in enumerate(seconds):
        video.add(jpeg(20 * number, 1280, 720), 1000 + second)
    video.finish()
    video.close()
    with av.open(str(video.path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.format.name) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
    assert {(frame.width, frame.height) for frame in frames} == {(VIDEO_WIDTH, 360)}
    assert [frame.time for frame in frames] == pytest.approx(
        [seconds[number] for number in (0, 2, 5, 8)], abs=1e-3
    )
    assert f"{video.frames} frames" in video.described


def test_the_video_goes_on_when_the_stamps_jump_back(tmp_path):
    video = Video(tmp_path / "a.mp4")
    for second in (0, 100, 101, 50, 51):  # 0: no stamp
        video.add(jpeg(1), second)
    video.finish()
    video.close()
    with av.open(str(video.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 1, 1 + 1 / VIDEO_RATE, 2 + 1 / VIDEO_RATE], abs=1e-3)


@pytest.mark.parametrize("size", [(3000, 1), (4, 5000)])
def test_a_picture_of_any_shape_gets_into_the_video(tmp_path, size):
    video = Video(tmp_path / "a.mp4")
    with pytest.raises(FrameError):
        video.add(b"broken", 1)
    video.add(jpeg(1, *size), 2)
    video.finish()
    video.close()
    assert (video.frames, video.path.exists()) == (1, True)


def test_no_picture_no_video(tmp_path):
    video = Video(tmp_path / "a.mp4")
    video.finish()
    video.close()
    assert not list(tmp_path.iterdir())
    assert video.described == "none: no picture with a stamp arrived"


def test_without_pyav_the_report_says_what_helps(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    video = Video(tmp_path / "a.mp4")
    video.add(jpeg(1), 1)
    assert re.fullmatch(r"none: writing MP4 needs av \(.*\): pip install av", video.described)


def test_each_label_has_its_own_file_in_the_folder(tmp_path):
    recording = recorded(({"A/B": 0.5, "a b": 0.5, "../x": 0.5, "\u732b" * 300: 0.5}, b"picture"))
    paths = write_pictures(recording, tmp_path)
    assert {path.name for path in paths.values()} == {"a_b.jpg", "a_b_2.jpg", "_x.jpg", "\u732b" * 66 + ".jpg"}
    assert {path for path in tmp_path.iterdir() if path.read_bytes() == b"picture"} == set(paths.values())


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "cat.jpg").mkdir()
    with pytest.raises(OSError, match=r"cat\.jpg"):
        write_pictures(recorded(({"cat": 0.5}, b"picture")), tmp_path)


def test_what_an_earlier_recording_wrote_goes_and_nothing_else(tmp_path):
    outside = tmp_path.parent / "dog.png"
    for path in (tmp_path / "cat.png", tmp_path / "mine.png", outside):
        path.touch()
    wrote = [f"wrote       {name}" for name in (tmp_path / "cat.png", "../dog.png", "..", tmp_path / REPORT)]
    (tmp_path / REPORT).write_text("\n".join(["wrote       mine.png", "label", *wrote, ""]))
    clear(tmp_path)
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    assert outside.exists()


def test_only_a_new_folder_without_files_goes(tmp_path):
    for name in ("new", "filled", "."):
        with recording_folder(tmp_path / "outer" / name):
            if name == "filled":
                (tmp_path / "outer" / name / REPORT).touch()
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["filled"]
    with recording_folder(tmp_path):
        pass
    assert tmp_path.exists()


@pytest.fixture
def recorder(domain: int, tmp_path: Path) -> Iterator[RecorderNode]:
    """A recorder in a process without any other node, which follows a detector /front/detector."""
    rclpy.init(args=[], domain_id=domain)
    node = RecorderNode(Recording(), Video(tmp_path / "a.mp4"), io.StringIO())
    node.follow(Detector("/found", "/front/detector", "/drawn/compressed"))
    yield node
    node.destroy_node()
    rclpy.shutdown()


def detections(second: int, *scores: float) -> Detection2DArray:
    """Detections with these scores, each as wide as its score in percent; their label has a line break."""
    found = Detections(
        np.array([[0, 0, 100 * score, 10] for score in scores], np.float32),
        np.array(scores, np.float32),
        np.zeros(len(scores), np.int32),
    )
    return detections_to_msg(found, Header(stamp=Time(sec=second)), ["Cat\nwrote  x"])


def status(name: str, latency: str) -> DiagnosticStatus:
    """The status of a detector."""
    return DiagnosticStatus(name=name, values=[KeyValue(key="latency p50 ms", value=latency)])


def test_the_node_joins_the_topics_of_its_detector(recorder):
    executor, recording = SingleThreadedExecutor(), recorder.recording
    executor.add_node(recorder)
    subscriptions = {item.topic_name: item for item in recorder.subscriptions}
    publishers = {
        topic: recorder.create_publisher(subscriptions[topic].msg_type, topic, 10)
        for topic in ("/found", "/drawn/compressed", "/diagnostics")
    }

    def wait(happened: Callable[[], object]) -> None:
        spin_until(happened, PATIENCE, executor)
        assert happened()

    wait(lambda: all(publisher.get_subscription_count() for publisher in publishers.values()))
    publishers["/found"].publish(detections(1, 0.25, 0.5, float("nan")))
    wait(lambda: recording.frames)
    publishers["/drawn/compressed"].publish(compressed_to_msg(b"broken", Header(stamp=Time(sec=1))))
    publishers["/found"].publish(detections(2, 0.25))
    wait(lambda: recording.frames > 1)
    publishers["/drawn/compressed"].publish(compressed_to_msg(jpeg(7), Header(stamp=Time(sec=2))))
    wait(lambda: recording.pictures)
    label = "Cat?wrote  x"
    cat = recording.sightings[label]
    assert (cat.best, cat.picture, cat.frames) == (Found(label, 0.25, (0, 0, 25, 10)), jpeg(7), 2)
    statuses = [status("detector: detector", "99"), status("/front/detector: detector", "7")]
    publishers["/diagnostics"].publish(DiagnosticArray(status=statuses))
    wait(lambda: recording.counts)
    assert recording.counts["latency p50 ms"] == "7"


def test_detectors_that_are_discovered_late_are_noted(recorder):
    followed = Detector("/found", "/front/detector")
    assert not other_detectors(recorder, followed)
    recorder.create_service(Trigger, "~/reload", lambda _, response: response)
    for topic in ("/found", "/found", "/other"):
        recorder.create_publisher(Detection2DArray, topic, 10)
    assert publishers_of(recorder, "/found") == [Detector("/found", "/recorder")], "two publishers, one node"
    rival = "also publishing on /found: /recorder: give each detector its own topic"
    another = "also running: /other of /recorder: choose with --topic"
    assert other_detectors(recorder, followed) == [rival, another]
    assert other_detectors(recorder, followed, "found") == [rival]


def test_the_status_of_a_detector_goes_by_its_name_or_by_the_camera():
    assert Detector("/detections", "/front").statuses == {"front: detector"}
    assert "/robot/detector: detector" in Detector("/robot/detections", "/robot/detector").statuses
    assert Detector("/rear/detections", "/detector").statuses == {"detector: detector", "detector: rear"}
    assert "/robot/detector: rear" in Detector("/robot/rear/detections", "/robot/detector").statuses


def test_the_pictures_of_one_of_several_cameras_are_its_own(recorder):
    for camera in ("front", "rear"):
        recorder.create_publisher(Detection2DArray, f"/{camera}/detections", 1)
        recorder.create_publisher(Image, f"/{camera}/debug_image", 1)
        recorder.create_publisher(CompressedImage, f"/{camera}/debug_image/compressed", 1)
    for camera in ("front", "rear"):
        (found,) = publishers_of(recorder, f"/{camera}/detections")
        assert found.pictures == f"/{camera}/debug_image/compressed"


def test_one_detector_is_chosen_else_the_error_lists_them():
    front, rear = Detector("/a", "/x"), Detector("/b", "/y")
    assert choose([front]) == front
    with pytest.raises(RuntimeError, match=rf"no detector publishes {TYPE}: start one, or check ROS_DOMAIN_ID$"):
        choose([])
    with pytest.raises(RuntimeError, match=r" on /b: .*; found /a of /x: choose one with --topic$"):
        choose([], [front], "/b")
    with pytest.raises(RuntimeError, match=r"\(/a of /x; /b of /y\): choose one, e.g. --topic /a$"):
        choose([front, rear])
    with pytest.raises(RuntimeError, match=r"/a has several publishers \(/x, /z\)"):
        choose([front, Detector("/a", "/z")])


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[int]:
    """A small pipe in the place of the cat's picture: the recorder writes it only while the test reads."""
    path = tmp_path / "recording" / "cat.jpg"
    path.parent.mkdir()
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
    yield descriptor
    os.close(descriptor)


def wait_for_data(descriptor: int) -> None:
    """Wait until a pipe has data."""
    assert select.select([descriptor], [], [], PATIENCE)[0]


def read_all(descriptor: int) -> bytes:
    """Read a pipe to its end."""
    data = []
    while not data or data[-1]:
        wait_for_data(descriptor)
        data.append(os.read(descriptor, 1 << 16))
    return b"".join(data)


def test_watches_the_nodes(start_node, start_process, probe, tmp_path, pipe, photo):
    command = [sys.executable, "-m", "trt_ssd_ros.node.detector_node", "--ros-args", "-r", "__ns:=/front"]
    detector = start_process([*command, "-r", "image:=/image_raw", "-r", "debug_image:=drawn"])
    start_node("camera_node", rate=10.0, source=share_folder() / "photos" / "chelsea.jpg")
    detector.wait_until_it_says("first detections")
    folder = tmp_path / "recording"
    record = [sys.executable, "-m", "trt_ssd_ros.recorder.recorder_node", "--output", str(folder)]
    recorder = start_process([*record, "--seconds", "2", "--ros-args", "-p", "use_sim_time:=true"])
    recorder.wait_until_it_says("recording /front/detections of /front/detector")
    probe.node.create_publisher(Detection2DArray, "/front/detections", 1)
    wait_for_data(pipe)
    recorder.send_signal(signal.SIGINT)
    cat = read_all(pipe)
    assert recorder.wait() == INTERRUPTED
    assert "Traceback" not in recorder.log
    assert "ONNX Runtime" in recorder.log
    assert re.search(r"^note +also publishing on /front/detections: /\w+: give", recorder.log, re.MULTILINE)
    assert re.search(
        r"images +(\d+ processed, (.*, 0 lost by|replaced or lost ones unknown: ).*|unknown: fewer than two)",
        recorder.log,
    )
    assert re.search(r"latency +p50 \d+\.\d+ ms", recorder.log)
    rows = re.findall(r"^.+ (\d+) {3}(\S+\.jpg)$", recorder.log, re.MULTILINE)
    written = re.findall(r"^wrote +(\S+)", recorder.log, re.MULTILINE)
    (folder / "cat.jpg").unlink()
    (folder / "cat.jpg").write_bytes(cat)
    assert written == [str(folder / name) for name in (*(row[1] for row in rows), "detections.mp4", REPORT)]
    assert {cv2.imread(str(folder / name)).shape for _, name in rows} == {photo("chelsea").shape}
    assert (folder / REPORT).read_text() in recorder.log
    again = start_process(record)
    assert again.wait() == 1
    assert f"{folder / REPORT} exists: give --overwrite to replace the recording" in again.log
