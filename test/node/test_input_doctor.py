"""What the input doctor says: from evidence, and over real DDS."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from image_messages import blank_image
from probe import BEST_EFFORT, DetectorClient
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trt_ssd_ros.node.input_doctor import Evidence, Publisher, examine, examine_stamp

pytestmark = pytest.mark.ros

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
SILENT = {"topic": "/image", "type": IMAGE, "silent": True}
FAST = {"input_timeout": 0.5, "diagnostic_updater.period": 0.1}


@pytest.mark.parametrize(
    ("evidence", "kind", "said"),
    [
        (Evidence("/image", IMAGE), None, []),
        (Evidence(**SILENT), "no publisher", ["/image has no publisher", "ROS_DOMAIN_ID"]),
        (Evidence(**SILENT, image_topics=["/a", "/b"]), "no publisher", ["image_topic", "/a, /b"]),
        (
            Evidence(**SILENT, publishers=[Publisher("/cam", COMPRESSED)]),
            *("type", ["/cam publishes", COMPRESSED, IMAGE, "image_transport to compressed"]),
        ),
        (
            Evidence(**SILENT, publishers=[Publisher("/cam", "std_msgs/msg/String")]),
            *("type", ["std_msgs/msg/String", "remap"]),
        ),
        (
            Evidence(**SILENT, publishers=[Publisher("/cam", IMAGE, "reliability!", best_effort=True)]),
            *("qos", ["/cam", "reliability!", "qos_overrides./image.subscription.reliability to best_effort"]),
        ),
        (
            Evidence(**SILENT, publishers=[Publisher("/cam", IMAGE, "deadline!")]),
            *("qos", ["deadline!", "change the publisher's quality of service"]),
        ),
        (
            Evidence(**SILENT, publishers=[Publisher("/old", COMPRESSED), Publisher("/cam", IMAGE)]),
            *("silence", ["/cam publishes /image", "connected"]),
        ),
        (Evidence(**SILENT, arriving=True, refusal="too dark"), "refused", ["refuses them: too dark"]),
        (Evidence(**SILENT, clock_stands=True), "clock", ["use_sim_time", "/clock"]),
        (Evidence("/image", IMAGE, clock_stands=True), "clock", ["use_sim_time"]),
        (Evidence("/image", IMAGE, stamp="stamps are odd"), "stamps", ["stamps are odd"]),
        (
            Evidence("/image", IMAGE, stamp="stamps are odd", loss=0.25),
            *(
                "loss",
                ["25% of the images on /image are lost", "profile", "reliable", "image_transport to compressed"],
            ),
        ),
    ],
)
def test_finds_the_cause(evidence, kind, said):
    finding = examine(evidence)
    assert (finding.kind if finding else None) == kind
    assert all(text in finding.text for text in said)
    assert finding is None or finding.severe == evidence.silent


@pytest.mark.parametrize(
    ("stamp", "before", "now", "said"),
    [
        (100.0, 99.9, 100.1, ""),
        (100.0, None, 100.1, ""),
        (0.0, None, 100.0, "zero"),
        (90.0, 99.9, 100.0, "jump back by 9.9 s"),
        (100.0, 99.9, 150.0, "50 s behind"),
        (160.0, 99.9, 150.0, "10 s ahead of"),
    ],
)
def test_looks_at_stamps(stamp, before, now, said):
    found = examine_stamp(stamp, before, now)
    assert said in found
    assert bool(said) == bool(found)


def await_message(client: DetectorClient, text: str, level: bytes = DiagnosticStatus.ERROR) -> None:
    """Wait until /diagnostics says something."""
    client.probe.spin_until(
        lambda: text in client.message() and client.newest_status().level == level, f"{text!r} in /diagnostics"
    )


def live_image(client: DetectorClient) -> Image:
    """An image taken now."""
    image = blank_image()
    image.header.stamp = client.probe.node.get_clock().now().to_msg()
    return image


def test_says_that_nobody_publishes_until_somebody_does(client, start_blank_detector):
    client.leave()
    client.probe.node.create_publisher(Image, "front/image_raw", 1)
    process = start_blank_detector(**FAST)
    advice = "/image has no publisher: remap image (launch: image_topic) to one of /front/image_raw"
    await_message(client, advice)
    client.come_back()
    await_message(client, "/probe publishes /image, but no image arrives")
    client.ask(live_image(client))
    process.wait_until_it_says("the problem with /image is solved")
    await_message(client, "images", DiagnosticStatus.OK)
    await_message(client, "/probe publishes /image, but no image arrives")
    assert process.log.count("/image has no publisher") == 1


def test_says_that_the_type_differs(client, start_blank_detector):
    node = client.probe.node
    client.leave()
    node.create_publisher(CompressedImage, "image", 1)
    start_blank_detector(**FAST)
    await_message(
        client, f"/probe publishes {COMPRESSED} on /image, expected {IMAGE}: set the parameter image_transport"
    )


def test_says_which_override_mends_the_quality_of_service(probe, start_blank_detector):
    client = DetectorClient(probe, BEST_EFFORT)
    start_blank_detector(**FAST, **{"qos_overrides./image.subscription.reliability": "reliable"})
    await_message(client, "set the parameter qos_overrides./image.subscription.reliability to best_effort")


def test_says_why_images_are_refused(client, start_blank_detector):
    process = start_blank_detector(**FAST)
    client.ask(live_image(client))

    def said() -> bool:
        client.send(Image(encoding="32FC1", header=Header(stamp=live_image(client).header.stamp)))
        client.probe.spin(0.05)
        return "but the node refuses them: image encoding '32FC1'" in client.message()

    client.probe.spin_until(said, "the reason of the refusal")
    client.ask(live_image(client))
    await_message(client, "images", DiagnosticStatus.OK)
    assert process.log.count("but the node refuses them") == 1


def test_warns_of_stamps_that_cannot_be(client, start_blank_detector):
    start_blank_detector(**FAST)
    zero = blank_image()
    zero.header.stamp.sec = 0
    client.ask(zero)
    await_message(client, "stamps are zero", DiagnosticStatus.WARN)


def test_says_that_the_clock_stands(client, start_blank_detector):
    process = start_blank_detector(**FAST, use_sim_time=True)
    await_message(client, "use_sim_time is true, but /clock does not advance")
    reports = client.reports
    client.probe.spin_until(lambda: client.reports > reports + 5, "more of /diagnostics")
    assert process.log.count("/clock does not advance") == 1
    clock = client.probe.node.create_publisher(Clock, "/clock", 1)
    message = Clock()

    def cleared() -> bool:
        message.clock.sec += 1
        clock.publish(message)
        client.probe.spin(0.02)
        return "has no publisher" in client.message() or "no image" in client.message()

    client.probe.spin_until(cleared, "another finding once the clock runs")
