"""The watch: its line per image, and how it finds the detector, in real processes."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable

import pytest
from builtin_interfaces.msg import Time
from image_messages import blank_image
from node_process import PATIENCE, NodeProcess
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from trt_ssd_ros.errors import BROKEN_PIPE
from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.recorder.detectors import STARTUP_SECONDS
from trt_ssd_ros.recorder.watch import line

pytestmark = pytest.mark.ros
SECOND = 10**9
LONG = 2 * STARTUP_SECONDS
"""Seconds to wait for a watch: it gives up after STARTUP_SECONDS, and says what it found."""


@pytest.fixture
def start_watch(start_process: Callable[..., NodeProcess]) -> Callable[..., NodeProcess]:
    """Start the watch with options."""
    return lambda *options: start_process([sys.executable, "-m", "trt_ssd_ros.recorder.watch", *options])


@pytest.fixture
def start_blank(start_process: Callable[..., NodeProcess]) -> Callable[..., NodeProcess]:
    """Start a detector that finds nothing, with remappings, and wait until it is active."""

    def start(*remappings: str) -> NodeProcess:
        rules = [word for remapping in remappings for word in ("-r", remapping)]
        command = [sys.executable, "-m", "trt_ssd_ros.bench.ros.reference_nodes", "blank", "--ros-args", *rules]
        process = start_process(command)
        process.wait_until_it_says("waiting for images")
        return process

    return start


def detection(*pairs: tuple[str, float]) -> Detection2D:
    """A detection with these class ids and scores."""
    message = Detection2D()
    for class_id, score in pairs:
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = class_id, score
        message.results.append(result)
    return message


def test_a_line_has_time_latency_and_labels_with_scores():
    header = Header(stamp=Time(sec=100, nanosec=234_567_890))
    found = Detection2DArray(
        header=header, detections=[detection(("cat\n\x1b[2J", 0.875), ("dog", 0.1)), detection()]
    )
    text = line(found, 100 * SECOND + 257_567_890)
    assert re.fullmatch(r"\d\d:\d\d:40\.234     23 ms  cat\?\?\[2J 0\.88, unknown", text), text


def test_a_line_without_stamp_has_the_time_of_arrival():
    assert line(Detection2DArray(), 41 * SECOND).endswith(":41.000 no stamp   no detections")


def test_once_prints_the_detections_of_the_detector_that_is_there(client, start_node, start_watch, photo):
    start_node("detector_node")
    header = Header(stamp=client.probe.node.get_clock().now().to_msg())
    image = image_to_msg(photo("chelsea"), "bgr", header)
    [cat] = client.ask(image).detections
    watch = start_watch("--once")
    watch.wait_until_it_says("/detections of /detector", LONG)
    client.probe.spin_until(lambda: client.send(image) or not watch.running, "the end of the watch")
    assert watch.wait() == 0
    [said] = re.findall(r"^\d\d:\d\d:\d\d\.\d{3} .*$", watch.log, re.MULTILINE)
    assert re.search(rf" \d+ ms  cat {cat.results[0].hypothesis.score:.2f}$", said), said


def test_each_image_gets_a_line_until_a_quiet_ctrl_c(client, start_blank_detector, start_watch):
    start_blank_detector()
    client.ask(blank_image())
    watch = start_watch()
    watch.wait_until_it_says("/detections of ", LONG)
    client.probe.spin_until(
        lambda: client.send(blank_image()) or watch.log.count("no detections") >= 3, "three lines"
    )
    watch.send_signal(signal.SIGINT)
    assert watch.wait() == 0
    *lines, last = watch.log.splitlines()
    assert last.endswith("no detections")
    assert all(text.endswith("no detections") for text in lines[2:])


def words_on_two_detectors(start_watch: Callable[..., NodeProcess]) -> str:
    """Return what a watch says: it ends, or names the second detector, which a busy machine may discover late."""
    watch, end = start_watch(), time.monotonic() + PATIENCE
    while watch.running and "also " not in watch.log and time.monotonic() < end:
        time.sleep(0.02)
    if not watch.running:
        assert watch.wait() == 1
        return watch.log
    _, noted, words = watch.log.partition("also ")
    assert noted, f"it follows one detector without a word about the other one: {watch.log}"
    return words


def test_several_detectors_are_listed_and_one_can_be_chosen(start_blank, start_watch):
    start_blank("__ns:=/front")
    first = start_watch()
    first.wait_until_it_says("watching /front/detections of /front/detector")
    start_blank("__ns:=/rear")
    first.wait_until_it_says("also running: /rear/detections of /rear/detector: choose with --topic")
    words = words_on_two_detectors(start_watch)
    listed = "several topics have detections (/front/detections of /front/detector; /rear/detections of /rear/"
    late = (
        r"running: (/front/detections of /front/detector|/rear/detections of /rear/detector): choose with --topic"
    )
    assert (listed in words and "choose one, e.g. --topic /front/detections" in words) or re.match(late, words)
    chosen = start_watch("--topic", "rear/detections")
    chosen.wait_until_it_says("/rear/detections of /rear/detector")


def test_two_detectors_on_one_topic_are_refused(start_blank, start_watch):
    start_blank("__node:=left")
    start_blank("__node:=right")
    words = words_on_two_detectors(start_watch)
    late = r"publishing on /detections: /(left|right): give each detector its own topic"
    assert "/detections has several publishers (/left, /right)" in words or re.match(late, words)


def test_the_reader_may_close_the_pipe(client, start_blank_detector, start_process):
    start_blank_detector()
    client.ask(blank_image())
    command = (
        f"{sys.executable} -m trt_ssd_ros.recorder.watch | head -n 1; echo watch ended with ${{PIPESTATUS[0]}}"
    )
    shell = start_process(["bash", "-c", command])
    client.probe.spin_until(lambda: client.send(blank_image()) or not shell.running, "the end of the watch")
    assert shell.wait() == 0
    waiting, watching, line_of_head, ended = shell.log.splitlines()
    assert waiting.startswith("waiting for")
    assert watching.startswith("watching /detections of ")
    assert line_of_head.endswith("no detections")
    assert ended == f"watch ended with {BROKEN_PIPE}"
