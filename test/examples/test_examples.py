"""examples/: two cameras in one launch, the subscribers, a bag of their detections, and the C++ subscriber."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from node_process import NodeProcess
from probe import Probe
from rclpy.qos import QoSDurabilityPolicy
from ros_bag import write_messages
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.node.outputs import LATCHED
from trt_ssd_ros.ros.stamps import nanoseconds

pytestmark = pytest.mark.ros

EXAMPLES = Path(__file__).parents[2] / "examples"
SUPPORT = Path(__file__).parents[1] / "support"
DETECTIONS, LABELS = "/left/detections", "/left/label_info"


@pytest.fixture
def start_example(start_process: Any) -> Any:
    """Start an example with arguments: start_example("crop_detections", folder, "-r", "__ns:=/left")."""

    def start(name: str, *arguments: str) -> NodeProcess:
        return start_process([sys.executable, str(EXAMPLES / f"{name}.py"), *arguments])

    return start


def test_each_missing_topic_gets_a_suggestion_of_its_own(probe, start_example):
    found = [f"/{name}/detections" for name in ("front", "rear")]
    for topic in found:
        probe.node.create_publisher(Detection2DArray, topic, 1)
    pairs = start_example("match_cameras")
    said = lambda: dict(re.findall(r"-r (/\w+/detections):=(\S+)$", pairs.log, re.MULTILINE))  # noqa: E731
    wanted = {"/left/detections": found[0], "/right/detections": found[1]}
    probe.spin_until(lambda: said() == wanted, "two different suggestions")


def test_the_examples_run_with_two_cameras_and_a_bag(
    probe, start_process, start_example, player, repository, tmp_path
):
    photos, crops, left = repository / "photos", tmp_path / "crops", ("--ros-args", "-r", "__ns:=/left")
    sources = [f"left:=file:{photos / 'chelsea.jpg'}", f"right:=file:{photos / 'astronaut.jpg'}", "fps:=4"]
    launch = start_process(
        [sys.executable, str(SUPPORT / "run_launch.py"), str(EXAMPLES / "two_cameras.launch.py"), *sources]
    )
    cropped = start_example("crop_detections", str(crops), *left)
    pairs = start_example("match_cameras", "--ros-args", "-p", "slop:=0.2")
    probe.spin_until(lambda: "left: cat  right: person" in pairs.log, "a pair of both cameras", 60.0)
    probe.spin_until(lambda: "_cat.png" in cropped.log, "a cat")
    bag = record_ids(probe, tmp_path / "bag")
    assert probe.set_parameter("tracking", True, "/left/detector").successful
    followed = start_example("follow_objects", *left)
    probe.spin_until(lambda: re.search(r"^17 [0-9a-f]{8}-1 comes$", followed.log, re.MULTILINE), "an object")
    assert probe.set_parameter("exclude_classes", ["cat"], "/left/detector").successful
    probe.spin_until(lambda: re.search(r"^17 [0-9a-f]{8}-1 is gone$", followed.log, re.MULTILINE), "its end")
    [crop, *_] = crops.glob("*_cat.png")
    assert cv2.imread(str(crop)).shape == pytest.approx((297, 406, 3), abs=3)
    launch.send_signal(signal.SIGINT)
    assert launch.wait() == 0

    for example in (cropped, pairs, followed):
        example.send_signal(signal.SIGINT)
        assert example.wait() == 0
    probe.spin_until(lambda: readers(probe) == ["probe"], "the end of the other subscriptions")
    printed = start_example("print_detections", *left)  # the player waits for it and the test
    play = start_process(["ros2", "bag", "play", str(bag), "--topics", DETECTIONS, LABELS], **player)
    probe.spin_until(lambda: not play.running, "the end of the bag")
    assert play.wait() == 0
    printed.wait_until_it_says("cat 0.9")
    assert re.search(r"^cat 0\.9\d left \d top \d width 40\d height 29\d$", printed.log, re.MULTILINE)


def test_an_example_names_the_topics_that_it_misses_and_the_others_of_their_type(probe, start_example):
    publishers = [probe.node.create_publisher(Detection2DArray, f"/{name}/detections", 1) for name in ("a", "b")]
    example = start_example("print_detections")
    example.wait_until_it_says("waiting for /label_info, which no node publishes\n")
    found = "found /a/detections, /b/detections: choose with --ros-args -r /detections:=/a/detections"
    example.wait_until_it_says(f"waiting for /detections, which no node publishes; {found}\n")
    start_example("print_detections", "--ros-args", "-r", "/detections:=/a/detections")
    probe.spin_until(
        publishers[0].get_subscription_count, "the subscription of an example that follows the advice"
    )


def readers(probe: Probe) -> list[str]:
    """Names of the nodes that subscribe to the detections."""
    return [info.node_name for info in probe.node.get_subscriptions_info_by_topic(DETECTIONS)]


def record_ids(probe: Probe, bag: Path) -> Path:
    """Record label_info and detections with ids for class_id, with the QoS that the detector offers."""
    labels = probe.receive(LabelInfo, LABELS, LATCHED)
    found = probe.receive(Detection2DArray, DETECTIONS)
    probe.spin_until(lambda: labels and found, "label_info and detections")
    assert probe.set_parameter("class_id_format", "id", "/left/detector").successful
    probe.spin_until(lambda: [array for array in found if ids(array) == ["17"]][3:], "detections with ids")
    recorded = [array for array in found if ids(array) == ["17"]]
    start = nanoseconds(recorded[0].header.stamp)
    messages = [(LABELS, labels[-1], start), *((DETECTIONS, a, nanoseconds(a.header.stamp)) for a in recorded)]
    durabilities = {
        topic: [info.qos_profile.durability for info in probe.node.get_publishers_info_by_topic(topic)]
        for topic in (LABELS, DETECTIONS)
    }
    latched = [topic for topic, has in durabilities.items() if has == [QoSDurabilityPolicy.TRANSIENT_LOCAL]]
    assert latched == [LABELS]
    return write_messages(bag, messages, latched)


def ids(array: Detection2DArray) -> list[str]:
    """Return the class_id of each detection."""
    return [detection.results[0].hypothesis.class_id for detection in array.detections]


def test_the_cpp_examples_compile(tmp_path):
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    for package in ("message_filters", "rclcpp", "sensor_msgs", "vision_msgs"):
        if not any((prefix / "share" / package / "cmake").is_dir() for prefix in prefixes):
            pytest.skip(f"this ROS 2 has no C++ headers of {package}")
    if not shutil.which("cmake") or not (shutil.which("c++") or "CXX" in os.environ):
        pytest.skip("cmake or a C++ compiler is missing")
    for command in (["cmake", "-S", str(EXAMPLES), "-B", str(tmp_path)], ["cmake", "--build", str(tmp_path)]):
        subprocess.run(command, check=True)
    assert all((tmp_path / name).exists() for name in ("print_detections", "locate_in_image"))
