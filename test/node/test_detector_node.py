"""The detector node as a process, over real DDS."""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from node_process import NodeProcess
from probe import RELIABLE, DetectorClient, Probe, new_domain
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.images.frame import SUPPORTED_ENCODINGS, frame_from_message
from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros

ODD_HEADERS = [
    Header(stamp=Time(sec=1, nanosec=2), frame_id=""),
    Header(stamp=Time(sec=2**31 - 1, nanosec=999_999_999), frame_id="robot 1/caméra☃\"'\\\n#"),
    Header(stamp=Time(sec=0, nanosec=2**32 - 1), frame_id="/" * 300),
    Header(stamp=Time(sec=-(2**31), nanosec=7), frame_id="before 1970"),
]


_seconds = itertools.count(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DetectorClient]:
    """A client of one detector node for all tests that leave the node as it is."""
    log = tmp_path_factory.mktemp("running") / "process.log"
    with new_domain() as domain:
        process = NodeProcess([sys.executable, "-m", "trt_ssd_ros.node.detector_node"], domain, log)
        probe = Probe(domain)
        yield DetectorClient(probe)
        probe.close()
        process.close()


def image_of(pixels: np.ndarray, frame_id: str = "camera") -> Image:
    """A bgr8 message with a stamp of its own."""
    return image_to_msg(pixels, "bgr", Header(stamp=Time(sec=next(_seconds)), frame_id=frame_id))


def grey_image(grey: np.ndarray, encoding: str) -> Image:
    """A grey picture (H, W) in any encoding; `step` has some bytes of padding."""
    neutral = np.full_like(grey, 128)
    if encoding in ("nv12", "nv21"):
        samples = np.vstack([grey, neutral[: len(grey) // 2]])
    elif encoding in ("uyvy", "yuv422"):
        samples = np.dstack([neutral, grey])
    elif encoding in ("yuyv", "yuv422_yuy2"):
        samples = np.dstack([grey, neutral])
    elif encoding == "mono16":
        samples = grey.astype("<u2") * 257
    else:
        channels = 4 if encoding in ("bgra8", "rgba8", "8UC4") else 1 if encoding[0] in "mb" else 3
        channels = 3 if encoding == "bgr8" else 1 if encoding == "8UC1" else channels
        samples = np.dstack([grey] * channels)
    rows = samples.reshape(len(samples), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, 5)))
    height, width = grey.shape
    return Image(encoding=encoding, height=height, width=width, step=padded.shape[1], data=padded.tobytes())


def seen(answer: Detection2DArray) -> list[tuple[str, float, list[float]]]:
    """What a message says: label, score and corners."""
    found = []
    for detection in answer.detections:
        centre, box = detection.bbox.center.position, detection.bbox
        corners = [
            *(centre.x - box.size_x / 2, centre.y - box.size_y / 2),
            *(centre.x + box.size_x / 2, centre.y + box.size_y / 2),
        ]
        found.append((detection.results[0].hypothesis.class_id, detection.results[0].hypothesis.score, corners))
    return found


def assert_same(answer: Detection2DArray, detector: Detector, image: Image) -> None:
    """A message says what the detector says about the same pixels."""
    frame = frame_from_message(image)
    expected = detector.detect_frame(frame)
    got = seen(answer)
    assert [label for label, _, _ in got] == [detector.card.labels[i] for i in expected.class_ids]
    assert [score for _, score, _ in got] == pytest.approx(expected.scores, abs=1e-5)
    corners = np.array([corners for _, _, corners in got]).reshape(-1, 4)
    np.testing.assert_allclose(corners, expected.boxes, atol=0.01)


def test_finds_the_cat_where_the_detector_finds_it(running, detector, photo):
    for size in [(), (1280, 720), (97, 61)]:
        image = image_of(photo("chelsea", *size))
        answer = running.ask(image)
        assert_same(answer, detector, image)
        if not size:
            assert [label for label, _, _ in seen(answer)] == ["cat"]
            x1, y1, x2, y2 = seen(answer)[0][2]
            assert x2 - x1 > 300
            assert y2 - y1 > 250
    colours_swapped = image_to_msg(photo("chelsea")[..., ::-1], "rgb", Header(stamp=Time(sec=next(_seconds))))
    assert_same(running.ask(colours_swapped), detector, colours_swapped)


def test_copies_headers_bit_for_bit(running, photo):
    for header in ODD_HEADERS:
        answer = running.ask(image_to_msg(photo("chelsea"), "bgr", header))
        assert answer.header == header
        assert [detection.header for detection in answer.detections] == [header]


def test_answers_a_frame_without_objects_with_an_empty_array(running):
    answer = running.ask(image_of(np.zeros((720, 1280, 3), np.uint8), frame_id="dark"))
    assert answer.detections == []
    assert answer.header.frame_id == "dark"


def test_hears_a_reliable_publisher(running, photo):
    assert len(DetectorClient(running.probe, RELIABLE).ask(image_of(photo("chelsea"))).detections) == 1


def test_reads_every_supported_encoding(running, detector, photo):
    grey = cv2.cvtColor(photo("chelsea", 450, 300), cv2.COLOR_BGR2GRAY)
    for encoding in SUPPORTED_ENCODINGS:
        image = grey_image(grey, encoding)
        image.header.stamp.sec = next(_seconds)
        answer = running.ask(image)
        assert_same(answer, detector, image)
        assert "cat" in [label for label, _, _ in seen(answer)], encoding
    assert running.status().get("refused", "0") == "0"


def test_drops_and_counts_what_it_cannot_read(client, start_node, photo):
    process = start_node("detector_node", **{"diagnostic_updater.period": 0.1})
    client.ask(image_of(photo("chelsea")))
    depth = Image(encoding="32FC1", width=2, height=2, step=8, data=bytes(16))
    truncated = image_of(photo("chelsea"))
    truncated.data = truncated.data[:1000]
    for number, image in enumerate([depth, truncated, depth], start=1):
        client.send(image)
        client.probe.spin_until(lambda n=number: client.counts()[2] == n, f"refused = {number} in /diagnostics")
    assert len(client.ask(image_of(photo("chelsea"))).detections) == 1
    lines = [line for line in process.log.splitlines() if "image dropped" in line]
    times = [float(line.split("[")[2].split("]")[0]) for line in lines]
    assert times
    assert all(after - before > 4.9 for before, after in itertools.pairwise(times)), "throttled to one in 5 s"
    assert "[WARN]" in lines[0]
    assert "32FC1" in lines[0]
    assert all(encoding in lines[0] for encoding in SUPPORTED_ENCODINGS)
    assert "Traceback" not in process.log


def test_label_info_is_latched_and_follows_the_threshold(probe, start_node, card):
    start_node("detector_node")
    assert probe.set_parameter("score_threshold", 0.5).successful
    received = probe.receive(
        LabelInfo, "label_info", QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    )
    probe.spin_until(lambda: received, "label_info for a late joiner")
    assert received[-1].threshold == pytest.approx(0.5)
    labels = {entry.class_id: entry.class_name for entry in received[-1].class_map}
    assert labels == card.classes
    assert probe.set_parameter("score_threshold", 0.25).successful
    probe.spin_until(lambda: received[-1].threshold == pytest.approx(0.25), "label_info with the new threshold")


def test_thresholds_act_on_the_next_frame(client, start_node, detector, photo):
    start_node("detector_node")
    probe, image = client.probe, photo("astronaut", 400, 400)

    def found() -> list[float]:
        return [score for _, score, _ in seen(client.ask(image_of(image)))]

    default = found()
    assert len(default) == len(detector.detect(image)) > 0
    assert probe.set_parameter("score_threshold", 0.1).successful
    low = found()
    assert len(low) > len(default)
    assert min(low) < 0.3
    assert probe.set_parameter("max_detections", 2).successful
    assert found() == pytest.approx(low[:2])
    assert probe.set_parameter("max_detections", 100).successful
    assert probe.set_parameter("iou_threshold", 1.0).successful
    assert len(found()) > len(low)
    assert probe.set_parameter("score_threshold", 1.0).successful
    assert found() == []


def test_refuses_settings_out_of_range(probe, start_node):
    process = start_node("detector_node")
    wrong = {
        "score_threshold": 1.5,
        "iou_threshold": -0.1,
        "max_detections": 0,
        "model": "other",
        "backend": "other",
    }
    for name, value in wrong.items():
        before = probe.get_parameter(name)
        result = probe.set_parameter(name, value)
        assert not result.successful, name
        assert result.reason
        assert probe.get_parameter(name) == before
    assert "read-only" in probe.set_parameter("model", "other").reason
    assert process.running


def test_debug_image_is_drawn_for_a_subscriber(running, photo):
    pixels = photo("chelsea")
    drawn = running.probe.receive(Image, "debug_image")

    def one_came() -> bool:
        running.ask(image_of(pixels, frame_id="left"))
        return running.probe.happens(lambda: drawn, 0.2)

    running.probe.spin_until(one_came, "debug_image")
    picture = drawn[-1]
    assert picture.header in [answer.header for answer in running.answers]
    assert picture.header.frame_id == "left"
    assert (picture.width, picture.height, picture.encoding) == (451, 300, "bgr8")
    changed = (frame_from_message(picture).pixels != pixels).any(axis=-1)
    assert 0.001 < changed.mean() < 0.5, "a box is drawn over the source's own pixels"


def test_other_output_can_be_chosen_at_the_start(client, start_node, photo):
    process = start_node("detector_node", debug_image=False, class_id_format="id", cpu_threads=1)
    drawn = client.probe.receive(Image, "debug_image")
    for _ in range(5):
        answer = client.ask(image_of(photo("chelsea")))
        assert [label for label, _, _ in seen(answer)] == ["17"]
    assert "on the CPU, fp32, resize on the host, 1 CPU thread, waiting for images" in process.log
    client.probe.spin_until(lambda: client.status().get("CPU threads") == "1", "the status")
    client.probe.spin(0.2)
    assert drawn == []
    assert client.probe.set_parameter("debug_image", True).successful
    last = image_of(photo("chelsea"))
    client.ask(last)
    client.probe.spin_until(lambda: drawn, "debug_image after it was switched on")
    assert drawn[0].header == last.header, "it came only once it was switched on"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"model": "no_such_model"}, ["no_such_model", "ssd_mobilenet_v2_oidv4"]),
        ({"backend": "abacus"}, ["abacus", "auto", "onnxruntime"]),
        ({"class_id_format": "rune"}, ["rune", "name", "id"]),
        ({"score_threshold": 1.5}, ["score_threshold", "1.5"]),
        ({"cpu_threads": 257}, ["cpu_threads: found 257, expected a whole number from 0 to 256"]),
        ({"score_threshold": "high"}, ["score_threshold"]),
    ],
    ids=["model", "backend", "choice", "range", "threads", "type"],
)
def test_a_wrong_setting_ends_with_one_line(start_node, parameters, said):
    process = start_node("detector_node", **parameters)
    assert process.wait() == 1
    assert "Traceback" not in process.log
    lines = process.log.strip().splitlines()
    assert len(lines) == 1
    assert "[FATAL]" in lines[0]
    assert all(text in lines[0] for text in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_during_inference_ends_it_in_order(client, start_slow_detector, photo, number):
    process = start_slow_detector(0.8)
    client.ask(image_of(photo("chelsea")))
    runs = process.log.count("the engine runs")
    client.send(image_of(photo("chelsea")))
    client.probe.spin_until(lambda: process.log.count("the engine runs") > runs, "the engine to run")
    start = time.monotonic()
    process.send_signal(number)
    assert process.wait() == 0
    assert time.monotonic() - start < 5.0
    assert "Traceback" not in process.log
    assert process.log.count("the engine is closed") == 1


def test_answers_while_the_engine_runs(client, start_slow_detector, photo):
    process = start_slow_detector(2.0)
    client.ask(image_of(photo("chelsea")))
    client.probe.get_parameter("score_threshold")
    runs, image = process.log.count("the engine runs"), image_of(photo("chelsea"))
    client.send(image)
    client.probe.spin_until(lambda: process.log.count("the engine runs") > runs, "the engine to run")
    assert client.probe.set_parameter("score_threshold", 0.5).successful
    assert client.probe.get_parameter("score_threshold") == 0.5
    assert image.header not in [answer.header for answer in client.answers], "the engine still runs"


def test_an_engine_that_fails_ends_the_node(client, start_slow_detector, photo):
    process = start_slow_detector(0.0, ENGINE_FAILS="1")

    def ended() -> bool:
        client.send(image_of(photo("chelsea")))
        return client.probe.happens(lambda: not process.running, 0.5)

    client.probe.spin_until(ended, "the end of the node")
    assert process.wait() == 1
    fatal = [line for line in process.log.splitlines() if "[FATAL]" in line]
    assert len(fatal) == 1
    assert "the engine is broken" in fatal[0]
    assert "Traceback" not in process.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_the_engine_opens_ends_it_in_order(start_slow_detector, number):
    process = start_slow_detector(0.0, OPEN_DELAY="1.0")
    process.wait_until_it_says("the engine opens")
    process.send_signal(number)
    assert process.wait() == 0
    assert "Traceback" not in process.log
    assert "[FATAL]" not in process.log
