"""source:=bag:<path>: a bag that the test records is played through detect.launch.py, to the last image."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from image_messages import blank_image
from probe import PATIENCE, DetectorClient
from ros_bag import write_messages
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros

SUPPORT = Path(__file__).parents[1] / "support"
IMAGES, PERIOD = 12, 250_000_000
START = 1_700_000_000 * 10**9


@pytest.fixture
def bag(tmp_path: Path, photo: Any) -> Path:
    """A bag with images, their camera_info, and old results that must not be played."""
    recorded: list[tuple[str, Any, int]] = []
    for number in range(IMAGES):
        stamp = START + number * PERIOD
        image = image_to_msg(photo("chelsea", 160, 120), "bgr", blank_image().header)
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp, 10**9)
        image.header.frame_id = "recorded"
        recorded.append(("/front/image_raw", image, stamp))
        recorded.append(("/front/camera_info", CameraInfo(header=image.header), stamp))
        recorded.append(("/results", String(data="old"), stamp))
    return write_messages(tmp_path / "bag", recorded)


def test_a_bag_is_detected_in_to_its_last_image(probe, client, start_process, bag, player):
    client.leave()
    images = probe.receive(Image, "/robot/image_raw", 50)
    answers = probe.receive(Detection2DArray, "/robot/detections")
    old = probe.receive(String, "/results")
    command = [sys.executable, str(SUPPORT / "run_launch.py"), "trt_ssd_ros", "detect.launch.py"]
    process = start_process([*command, f"source:=bag:{bag}", "namespace:=robot"], **player)
    process.wait_until_it_says("waiting for /robot/detector to subscribe to /robot/image_raw")
    probe.spin_until(lambda: "process has finished cleanly" in process.log or not process.running, "the end")
    stamps = [START + number * PERIOD for number in range(IMAGES)]
    probe.spin_until(lambda: answers and stamp(answers[-1]) == stamps[-1], "the last image")
    found = [stamp(answer) for answer in answers]
    assert found == [number for number in stamps if number in found], "a busy machine may skip an image"
    assert {answer.header.frame_id for answer in answers} == {"recorded"}
    assert len(images) == IMAGES
    assert not old
    # Images that pass while a slow node changes the reliability of its subscription are not counted. Answers from
    # before it discovers the probe do not arrive.
    seen: list[tuple[int, str]] = []

    def adds_up() -> bool:
        seen.append(counts(client))
        processed, dropped = seen[-1]
        missing = IMAGES - processed
        uncounted = range(missing + 1) if "as reliable" in process.log else [missing]
        return len(found) <= processed and (dropped == "unknown" or dropped in map(str, uncounted))

    assert probe.happens(adds_up, PATIENCE), f"{len(found)} answers arrived; processed and dropped: {seen[-1:]}"


@pytest.mark.parametrize(("command", "code"), [("/bin/true", 0), ("/no/such/player", 1)])
def test_what_waits_for_a_subscriber_becomes_the_command(probe, start_process, command, code):
    process = start_process([sys.executable, "-m", "trt_ssd_ros.launching.bag", "/it", "any", command])
    process.wait_until_it_says("waiting for any node to subscribe to /it")
    probe.receive(String, "/it")
    assert process.wait() == code
    assert ("cannot start /no/such/player" in process.log) is bool(code)
    assert "Traceback" not in process.log


def test_what_waits_for_a_subscriber_can_be_interrupted(probe, start_process):
    probe.receive(String, "/it")
    process = start_process([sys.executable, "-m", "trt_ssd_ros.launching.bag", "/it", "/absent", "/bin/false"])
    process.wait_until_it_says("waiting for /absent to subscribe to /it")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.log


def counts(client: DetectorClient) -> tuple[int, str]:
    """The numbers of processed and dropped images, by the detector; dropped is unknown on Humble."""
    status = client.status()
    return int(status.get("processed", 0)), status.get("dropped", "")


def stamp(message: Any) -> int:
    """The stamp of a message, ns."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
