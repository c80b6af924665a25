"""Cameras that change, break and come back; images that lie about themselves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from image_messages import blank_image
from probe import BEST_EFFORT, RELIABLE, DetectorClient
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
RESTARTS, KILLS = (50, 50) if os.environ.get("TRT_SSD_ENDURANCE") == "1" else (5, 2)
FAST = {"diagnostic_updater.period": 0.1}


def image(width: int, height: int, encoding: str, frame_id: str, bytes_a_pixel: int) -> Image:
    """An image of some kind, with a stamp of its own."""
    return Image(
        header=Header(stamp=blank_image().header.stamp, frame_id=frame_id),
        **{"width": width, "height": height, "encoding": encoding, "step": width * bytes_a_pixel},
        data=bytes(width * height * bytes_a_pixel),
    )


def test_the_camera_changes_while_it_streams(client, start_node, photo):
    process = start_node("detector_node")
    for changed in (
        image(64, 48, "bgr8", "left", 3),
        image(48, 64, "rgb8", "right", 3),
        image(320, 240, "mono8", "right", 1),
        image(33, 17, "rgba8", "", 4),
        image(64, 48, "bgr8", "left", 3),
    ):
        assert client.ask(changed).header == changed.header
    cat = image_to_msg(photo("chelsea"), "bgr", Header(stamp=blank_image().header.stamp))
    assert len(client.ask(cat).detections) == 1
    assert "image dropped" not in process.log


@pytest.mark.parametrize("qos", [RELIABLE, LATCHED, BEST_EFFORT], ids=["reliable", "latched", "best effort"])
def test_the_publisher_changes_its_quality_of_service(client, start_blank_detector, qos):
    start_blank_detector()
    client.ask(blank_image())
    client.leave()
    client.come_back(qos)
    client.ask(blank_image())


def reliability(client: DetectorClient) -> str:
    """Reliability of the one subscription to the images."""
    infos = client.probe.node.get_subscriptions_info_by_topic("image")
    return ", ".join(info.qos_profile.reliability.name.lower() for info in infos)


def test_auto_subscribes_as_every_publisher_offers(probe, start_blank_detector):
    client = DetectorClient(probe, RELIABLE)
    process = start_blank_detector(**FAST)
    probe.spin_until(lambda: reliability(client) == "reliable", "a reliable subscription")
    client.ask(blank_image())
    other = DetectorClient(probe, BEST_EFFORT)
    probe.spin_until(lambda: reliability(client) == "best_effort", "a best effort subscription")
    client.ask(blank_image())
    other.ask(blank_image())
    other.leave()
    probe.spin_until(lambda: reliability(client) == "reliable", "a reliable subscription again")
    client.ask(blank_image())
    assert process.log.count("subscribing to /image as reliable: every publisher is") == 2
    assert process.log.count("subscribing to /image as best effort: a publisher is best effort") == 1


OVERRIDE = "qos_overrides./image.subscription"


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"image_reliability": "reliable"}, "reliable"),
        ({"image_reliability": "best_effort"}, "best_effort"),
        ({f"{OVERRIDE}.reliability": "reliable"}, "reliable"),
        ({"image_reliability": "reliable", f"{OVERRIDE}.reliability": "best_effort"}, "best_effort"),
    ],
)
def test_the_reliability_can_be_chosen(probe, start_blank_detector, parameters, wanted):
    client = DetectorClient(probe, RELIABLE)
    start_blank_detector(**FAST, **parameters)
    client.ask(blank_image())
    probe.spin(1.2)
    assert reliability(client) == wanted


def test_depth_and_history_are_fixed_and_nonsense_is_refused(client, start_blank_detector):
    process = start_blank_detector(**{f"{OVERRIDE}.depth": 10, f"{OVERRIDE}.history": "keep_all"})
    client.ask(blank_image())
    for policy, value in (("depth", "10"), ("history", "keep_all")):
        assert f"{OVERRIDE}.{policy}: found {value}, which is ignored" in process.log
    wrong = start_blank_detector(**{f"{OVERRIDE}.reliability": "always"})
    assert wrong.wait() == 1
    assert f"{OVERRIDE}.reliability: found always, expected auto or best_effort or reliable" in wrong.log


def test_the_publisher_leaves_and_comes_back(client, start_blank_detector):
    process = start_blank_detector(**FAST)
    for _ in range(RESTARTS):
        client.ask(blank_image())
        client.leave()
        client.come_back()
    client.ask(blank_image())
    answered = len(client.answers)
    client.probe.spin_until(lambda: client.counts()[0] >= answered, "the counts")
    client.probe.spin(1.2)  # gaps are counted once a second
    assert client.counts()[1] == 0, "a new publisher's numbers begin anew"
    assert "[ERROR]" not in process.log


def test_a_camera_that_is_killed_is_missed_until_it_is_back(
    client, start_process, start_blank_detector, small_picture
):
    process = start_blank_detector(**FAST, input_timeout=0.5)
    settings = ["--ros-args", "-r", "image_raw:=image", "-p", f"source:={small_picture}"]
    command = [sys.executable, "-m", "trt_ssd_ros.camera.camera_node", *settings]
    for _ in range(KILLS):
        answered = len(client.answers)
        camera = start_process(command)
        client.probe.spin_until(lambda n=answered: len(client.answers) > n + 3, "detections")
        client.probe.spin_until(lambda: client.newest_status().level == DiagnosticStatus.OK, "OK")
        camera.send_signal(signal.SIGKILL)
        assert camera.wait() == -signal.SIGKILL
        client.probe.spin_until(lambda: client.newest_status().level == DiagnosticStatus.ERROR, "ERROR")
    assert process.log.count("the problem with /image is solved") >= KILLS - 1
    assert "[ERROR]" not in process.log


def test_two_publishers_on_one_topic_are_both_heard(client, start_blank_detector):
    start_blank_detector(**FAST)
    other = DetectorClient(client.probe, RELIABLE)
    for _ in range(5):
        for camera in (client, other):
            camera.ask(blank_image())
    sent = client.sent + other.sent
    client.probe.spin_until(lambda: client.counts()[0] >= len(client.answers), "the counts")
    client.probe.spin(1.2)
    assert client.counts()[1] == 0, "the numbers of two publishers are not to be compared"
    assert len(client.answers) <= sum(client.counts()) <= sent


STAMPS = [Time(sec=-(2**31)), Time(sec=2**31 - 1, nanosec=2**32 - 1), Time(sec=-1, nanosec=2 * 10**9), Time()]


def too_old(client: DetectorClient) -> int:
    """How many images were dropped as too old."""
    return int(client.status().get("too_old", 0))


@pytest.mark.parametrize("oldest", [0.0, 3600.0], ids=["any age", "max_input_age"])
def test_stamps_that_cannot_be_are_copied_or_too_old(client, start_blank_detector, oldest):
    process = start_blank_detector(**FAST, max_input_age=oldest)
    now = blank_image()
    now.header.stamp = client.probe.node.get_clock().now().to_msg()
    client.ask(now)
    for stamp in STAMPS:
        image = blank_image()
        image.header.stamp = stamp
        if oldest and stamp.sec < 0:
            dropped = too_old(client)
            client.send(image)
            client.probe.spin_until(lambda n=dropped: too_old(client) > n, f"{stamp} too old")
        else:
            assert client.ask(image).header.stamp == stamp
        client.ask(now)
    assert "[ERROR]" not in process.log


def lies() -> Iterator[tuple[str, Image]]:
    """Images that are not what they say."""
    yield "zero size", Image(encoding="bgr8")
    yield "no pixels, some data", Image(encoding="bgr8", data=bytes(100))
    yield "huge, little data", Image(encoding="bgr8", width=20000, height=20000, step=60000, data=bytes(1000))
    yield "most, no data", Image(encoding="mono8", width=2**32 - 1, height=2**32 - 1, step=2**32 - 1)
    yield "step too small", Image(encoding="bgr8", width=10, height=10, step=10, data=bytes(300))
    yield "odd chroma", Image(encoding="nv12", width=3, height=3, step=3, data=bytes(30))
    yield "no encoding", Image(width=2, height=2, step=6, data=bytes(12))
    yield "odd encoding", Image(encoding="\u2603" * 500, width=2, height=2, step=6, data=bytes(12))


def test_lies_are_refused_and_counted_and_the_next_good_image_is_detected(client, start_blank_detector):
    process = start_blank_detector(**FAST)
    client.ask(blank_image())
    for number, (name, lie) in enumerate(lies(), start=1):
        client.send(lie)
        client.probe.spin_until(lambda n=number: client.counts()[2] == n, f"{name}: refused = {number}")
        client.ask(blank_image())
    assert client.status()["last error"].startswith("image dropped: ")
    assert "Traceback" not in process.log


def test_byte_order_and_padding_are_read_as_they_are_said(client, start_blank_detector):
    start_blank_detector(**FAST)
    deep = np.arange(48 * 64, dtype=">u2").reshape(48, 64)
    message = Image(
        header=blank_image().header,
        **{"width": 64, "height": 48, "encoding": "mono16", "step": 128, "is_bigendian": 1},
        data=deep.tobytes(),
    )
    client.ask(message)
    padded = blank_image()
    padded.step += 7
    padded.data = bytes(padded.step * padded.height)
    client.ask(padded)
    assert client.counts()[2] == 0
