"""The web node over real DDS and real sockets: demand, frames, distances, parameters, restarts."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from image_messages import blank_image
from parameter_client import ParameterClient
from probe import BEST_EFFORT, PATIENCE, Probe
from rcl_interfaces.msg import Log, Parameter, ParameterEvent, ParameterType, ParameterValue
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3D, Detection3DArray

from trt_ssd_ros.images.compressed import encode_jpeg
from trt_ssd_ros.node.messages import compressed_to_msg

aiohttp = pytest.importorskip("aiohttp")

from page_client import PageClient, PageFrame, viewer  # noqa: E402

pytestmark = pytest.mark.ros
LATCHED = QoSProfile(depth=100, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
ADDRESS = r"web page: http://127\.0\.0\.1:(\d+)/"


def port_of(process: Any) -> int:
    """Return the port that a web node or a launch has printed."""
    process.wait_until_it_says("web page: ", 2 * PATIENCE)
    return int(re.search(ADDRESS, process.log)[1])


async def frame_that(page: PageClient, fits: Callable[[dict[str, Any]], Any], camera: str = "") -> PageFrame:
    """Return the next frame of a camera that fits, and acknowledge all before it and itself."""
    while True:
        frame = await page.frame()
        await page.acknowledge(frame)
        if frame.header["camera"] == camera and fits(frame.header):
            return frame


async def spinning(probe: Probe, work: Coroutine[Any, Any, Any]) -> Any:
    """Spin a probe in another thread while some work is done, and return its result."""
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(probe.spin_until, task.done, "the work", 2 * PATIENCE)
    return await task


def readers(probe: Probe) -> list[int]:
    """Return how many subscriptions the topics of the detector have."""
    return [probe.node.count_subscribers(topic) for topic in ("preview/compressed", "detections", "label_info")]


def status_of_the_page(reports: list[DiagnosticArray]) -> dict[str, str]:
    """Return the newest values of the web node in /diagnostics."""
    found = [status for report in reports for status in report.status if status.name == "web: page"]
    return {value.key: value.value for value in found[-1].values} if found else {}


class StandInLocator:
    """Places every detection 3 m before the camera, as the locator does: with its stamp, label, score and id."""

    def __init__(self, probe: Probe) -> None:
        self._publisher = probe.node.create_publisher(Detection3DArray, "detections_3d", 10)
        probe.node.create_subscription(Detection2DArray, "detections", self._place, 10)

    def _place(self, message: Detection2DArray) -> None:
        placed = Detection3DArray(header=message.header)
        for found in message.detections:
            place = Detection3D(header=message.header, results=found.results, id=found.id)
            place.bbox.center.position.x, place.bbox.center.position.z = 1.8, 2.4
            placed.detections.append(place)
        self._publisher.publish(placed)


def test_a_viewer_sees_and_controls_the_demo(probe, start_launch):
    process = start_launch("source:=demo", "view:=web", "web_port:=0", "web_control:=true")
    port = port_of(process)
    probe.spin_until(lambda: probe.node.count_publishers("preview/compressed"), "the detector")
    assert readers(probe) == [0, 0, 0], "without viewers it reads nothing"
    reports: list[DiagnosticArray] = probe.receive(DiagnosticArray, "/diagnostics")
    asyncio.run(visit(probe, port))
    probe.spin_until(lambda: int(status_of_the_page(reports).get("frames", 0)) > 0, "its frames in /diagnostics")
    probe.spin_until(lambda: probe.node.count_subscribers("preview/compressed") == 0, "no reader of the preview")
    probe.spin_until(lambda: probe.node.count_subscribers("label_info") == 0, "no reader of label_info")
    assert "Traceback" not in process.log


async def visit(probe: Probe, port: int) -> None:
    """Be a viewer."""
    async with viewer(port) as page:
        state = await page.text("state", lambda text: text["cameras"] and text["labels"])
        assert state["detector"] == {"name": "/detector", "present": True}
        assert (state["control"], state["cameras"]) == (True, [{"name": ""}])
        assert state["labels"][0] == "person"
        assert readers(probe)[:2] == [0, 0], "it looks at nothing yet"
        await see(probe, page)
        await control(probe, page)


async def see(probe: Probe, page: PageClient) -> None:
    """See frames and diagnostics."""
    heard: list[Detection2DArray] = probe.receive(Detection2DArray, "detections")
    await page.look("")
    frame = await spinning(probe, frame_that(page, lambda header: header["boxes"]))
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (540, 960, 3)
    assert (frame.header["width"], frame.header["height"]) == (1280, 720)

    def same(stamp: str) -> list[Detection2DArray]:
        return [a for a in heard if f"{a.header.stamp.sec}.{a.header.stamp.nanosec:09d}" == stamp]

    frame = await spinning(probe, frame_that(page, lambda header: header["boxes"] and same(header["stamp"])))
    [detections] = same(frame.header["stamp"])
    for box, found in zip(frame.header["boxes"], detections.detections, strict=True):
        centre, hypothesis = found.bbox.center.position, found.results[0].hypothesis
        assert (box["label"], box["score"]) == (hypothesis.class_id, hypothesis.score)
        assert box["x"] + box["width"] / 2 == pytest.approx(centre.x)
        assert box["y"] + box["height"] / 2 == pytest.approx(centre.y)
        assert box["distance"] is None

    StandInLocator(probe)
    placed = lambda header: header["boxes"] and header["boxes"][0]["distance"]  # noqa: E731
    frame = await spinning(probe, frame_that(page, placed))
    assert [box["distance"] for box in frame.header["boxes"]] == pytest.approx([3.0] * len(frame.header["boxes"]))
    status = await page.newest("diagnostics", lambda text: text["cameras"][0]["figures"]["latency_p50_ms"])
    [camera] = status["cameras"]
    assert (camera["camera"], camera["enabled"]) == ("", True)
    assert camera["figures"]["engine"].startswith("ONNX Runtime")


async def control(probe: Probe, page: PageClient) -> None:
    """Set parameters and enable."""
    client = ParameterClient(probe)
    answer = await page.command(type="set", parameter="score_threshold", value=0.9)
    assert answer["ok"], answer
    assert client.get(["score_threshold"]) == {"score_threshold": 0.9}
    await page.newest("parameters", lambda text: value_of(text, "score_threshold") == 0.9)
    for name, bad, words in (
        ("score_threshold", 7, "score_threshold: found 7.0, expected a number from 0 to 1"),
        ("include_classes", ["cta"], "expected perhaps 'cat'"),
        ("roi", [0, 0, 0], "roi"),
        ("roi", [], "roi"),
        ("roi", [[1]], "list of values of one type"),
        ("roi", [None, None], "list of values of one type"),
        ("roi", [0.5, 10**400], "64 bits"),
        ("include_classes", ["cat\0"], "without NUL"),
        ("include_classes", ["\ud800"], "without NUL and surrogates"),
        ("roi", {"x": 1}, "expected a value"),
        ("max_detections", 2**80, "64 bits"),
        ("max_detections", None, "max_detections"),
        ("model", "/etc/passwd", "expected a parameter that can change"),
        ("use_sim_time", True, "expected a parameter that can change"),
    ):
        answer = await page.command(type="set", parameter=name, value=bad)
        assert not answer["ok"], name
        assert words in answer["message"], answer["message"]
    for name, good in (("roi", [0, 0.5, 1, 0.5]), ("include_classes", ["cat"]), ("include_classes", [])):
        answer = await page.command(type="set", parameter=name, value=good)
        assert answer["ok"], answer
    assert client.get(["roi", "include_classes"]) == {"roi": [0.0, 0.5, 1.0, 0.5], "include_classes": []}

    assert client.set_together({"score_threshold": 0.2}).successful
    await page.newest("parameters", lambda text: value_of(text, "score_threshold") == 0.2)

    for wanted in (False, True):
        answer = await page.command(type="enable", camera="", value=wanted)
        assert answer["ok"], answer
        await page.newest("diagnostics", lambda text, w=wanted: text["cameras"][0]["enabled"] is w)
    answer = await page.command(type="enable", camera="nose", value=True)
    assert "'nose', expected the name of a camera" in answer["message"]


def send_strange_messages(probe: Probe) -> None:
    """Send in the detector's name, all the time: values of types that it does not have, a count of 5000 digits."""
    counts = DiagnosticStatus(name="detector: front", values=[KeyValue(key="processed", value="9" * 5000)])
    report = DiagnosticArray(status=[counts])
    values = (
        *(ParameterValue(type=ParameterType.PARAMETER_BYTE_ARRAY), ParameterValue(type=77)),
        ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.875),
        ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="high"),
    )
    reports = probe.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    events = probe.node.create_publisher(ParameterEvent, "/parameter_events", 10)

    def send() -> None:
        reports.publish(report)
        for value in values:
            change = Parameter(name="score_threshold", value=value)
            events.publish(ParameterEvent(node="/detector", changed_parameters=[change]))

    probe.node.create_timer(0.05, send)


def value_of(text: dict[str, Any], name: str) -> Any:
    """Return the value of a parameter in a text `parameters`."""
    return next(parameter["value"] for parameter in text["parameters"] if parameter["name"] == name)


def test_follows_two_cameras_and_a_detector_that_restarts(probe, start_blank_detector, start_process):
    names = ["-r", "__ns:=/pages", "-p", "detector:=/detector", "-p", "port:=0"]
    process = start_process([sys.executable, "-m", "trt_ssd_ros.web.web_node", "--ros-args", *names])
    port = port_of(process)
    detector = start_blank_detector(cameras="[front, rear]", preview_rate=0.0)
    senders = {
        name: probe.node.create_publisher(Image, f"{name}/image", BEST_EFFORT) for name in ("front", "rear")
    }
    probe.node.create_timer(0.05, lambda: [sender.publish(blank_image()) for sender in senders.values()])

    send_strange_messages(probe)

    async def watch() -> None:
        async with viewer(port) as page:
            await page.text("state", lambda text: [c["name"] for c in text["cameras"]] == ["front", "rear"])
            await page.look("front", "rear", "none")
            for camera in senders:
                assert (await frame_that(page, lambda _: True, camera)).header["boxes"] == []
            answer = await page.command(type="set", parameter="front.score_threshold", value=0.5)
            assert "control" in answer["message"], "only shows"
            assert not answer["ok"]

            await page.newest("parameters", lambda text: value_of(text, "score_threshold") == 0.875)

            detector.send_signal(signal.SIGKILL)
            detector.wait()
            start_blank_detector(cameras="[rear]", preview_rate=0.0)
            await page.text("state", lambda text: [c["name"] for c in text["cameras"]] == ["rear"])
            number = (await frame_that(page, lambda _: True, "rear")).header["frame"]
            await frame_that(page, lambda header: header["frame"] > number + 5, "rear")

    asyncio.run(spinning(probe, watch()))


def test_a_camera_is_left_although_the_viewer_comes_and_goes_at_another(
    probe, start_blank_detector, start_process
):
    port = port_of(
        start_process([sys.executable, "-m", "trt_ssd_ros.web.web_node", "--ros-args", "-p", "port:=0"])
    )
    start_blank_detector(cameras="[front, rear]", preview_rate=0.0)
    senders = [probe.node.create_publisher(Image, f"{name}/image", BEST_EFFORT) for name in ("front", "rear")]
    probe.node.create_timer(0.05, lambda: [sender.publish(blank_image()) for sender in senders])

    async def watch() -> None:
        async with viewer(port) as page:
            await page.look("front")
            await frame_that(page, lambda _: True, "front")
            while probe.node.count_subscribers("front/preview/compressed"):
                await page.look("rear")
                await frame_that(page, lambda _: True, "rear")
                await page.look()

    asyncio.run(spinning(probe, watch()))


def test_a_camera_s_own_jpeg_saves_the_preview(probe, start_blank_detector, start_process):
    rule = ["-r", "preview/compressed:=image/compressed"]
    port = port_of(
        start_process([sys.executable, "-m", "trt_ssd_ros.web.web_node", "--ros-args", *rule, "-p", "port:=0"])
    )
    start_blank_detector(image_transport="compressed")
    jpeg, seconds = encode_jpeg(np.full((48, 64, 3), 200, np.uint8), "bgr"), itertools.count(1)
    camera = probe.node.create_publisher(CompressedImage, "image/compressed", BEST_EFFORT)

    def send() -> None:
        camera.publish(compressed_to_msg(jpeg, Header(stamp=Time(sec=next(seconds)))))

    probe.node.create_timer(0.05, send)

    async def watch() -> None:
        async with viewer(port) as page:
            await page.look("")
            frame = await frame_that(page, lambda header: header["boxes"] is not None)
            assert frame.jpeg == jpeg
            assert (frame.header["width"], frame.header["height"], frame.header["boxes"]) == (64, 48, [])
            assert probe.node.count_subscribers("preview/compressed") == 0

    asyncio.run(spinning(probe, watch()))


def test_prints_a_token_to_the_terminal_only(probe, start_node):
    rosout: list[Log] = probe.receive(Log, "/rosout", LATCHED)  # also what it said before
    process = start_node("web_node", port=0, host="0.0.0.0", allowed_hosts="[robot.example]")  # noqa: S104
    process.wait_until_it_says("?token=")
    port, token = re.search(r"web page: http://\S+:(\d+)/\?token=(\S+)", process.log).groups()

    async def enter() -> None:
        async with viewer(int(port), f"/ws?token={token}", Host="robot.example") as page:
            await page.text("state")
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with viewer(int(port), f"/ws?token={token[1:]}"):
                pass

    asyncio.run(enter())
    probe.spin_until(lambda: any("wrong token" in line.msg for line in rosout), "the refusal in /rosout")
    assert not [line for line in rosout if token in line.msg]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"token": "short"}, "token: found 5 characters"),
        ({"port": 70000}, "port: found 70000, expected a whole number from 0 to 65535"),
        ({"detecter": "x"}, "did you mean detector?"),
        ({"host": "192.0.2.1", "port": 0}, "cannot listen on 192.0.2.1"),
        ({"host": "..", "port": 0}, "cannot listen on .."),
        ({"detector": "two words"}, "detector: found 'two words', expected the name of a node"),
    ],
)
def test_refuses_to_start(refused, parameters, words):
    assert words in refused("web_node", **parameters)[-1]


def test_says_how_to_install_aiohttp(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    said = refused("web_node", port=0)[-1]
    assert "the web page needs aiohttp" in said
    assert said.endswith(": sudo apt install python3-aiohttp, or pip install aiohttp")
