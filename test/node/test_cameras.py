"""Several cameras on one engine, over real DDS."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from probe import BEST_EFFORT, Probe
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.node.outputs import LATCHED

pytestmark = pytest.mark.ros
CAMERAS = ("front", "rear", "left")


class Camera:
    """A camera's publisher, and the detections of its images.

    Attributes:
        sent: Number of published images.
        heard: The images at a subscription of the test's own, which get there when they get to the node.
        answers: Received detections.
    """

    def __init__(self, probe: Probe, name: str) -> None:
        self.name = name
        self.sent = 0
        self.answers: list[Detection2DArray] = probe.receive(Detection2DArray, f"{name}/detections")
        self.heard: list[Image] = probe.receive(Image, f"{name}/image", BEST_EFFORT)
        self._probe = probe
        self._publisher = probe.node.create_publisher(Image, f"{name}/image", BEST_EFFORT)

    @property
    def is_matched(self) -> bool:
        """Whether the node is subscribed to the images, as the test itself is."""
        return self._publisher.get_subscription_count() > 1

    @property
    def is_delivered(self) -> bool:
        """Whether the newest image has arrived."""
        return bool(self.heard) and self.heard[-1].header.stamp.sec == self.sent

    def send(self, pixels: NDArray[np.uint8]) -> None:
        """Publish an image; its stamp is the number of the image."""
        self.sent += 1
        header = Header(frame_id=f"{self.name}_optical_frame")
        header.stamp.sec = self.sent
        self._publisher.publish(image_to_msg(pixels, "bgr", header))

    def ask(self, pixels: NDArray[np.uint8]) -> Detection2DArray:
        """Publish an image until its detections come, and return them."""
        self._probe.spin_until(lambda: self.is_matched, f"the subscription of {self.name}")
        before = len(self.answers)

        def is_answered() -> bool:
            self.send(pixels)
            return self._probe.happens(lambda: len(self.answers) > before, 1.0)

        self._probe.spin_until(is_answered, f"detections of {self.name}")
        return self.answers[-1]


def names(answer: Detection2DArray) -> set[str]:
    """The classes of the detections."""
    return {detection.results[0].hypothesis.class_id for detection in answer.detections}


def statuses(reports: list[DiagnosticArray]) -> Mapping[str, Mapping[str, str]]:
    """The values of the newest status by camera."""
    every = [status for report in reports for status in report.status]
    return {status.name.rpartition(": ")[2]: {v.key: v.value for v in status.values} for status in every}


@pytest.fixture
def cameras(probe: Probe) -> dict[str, Camera]:
    """Three."""
    return {name: Camera(probe, name) for name in CAMERAS}


@pytest.fixture
def start(start_node: Any) -> Callable[..., Any]:
    """Start a detector of three cameras; sets parameters."""
    return lambda **parameters: start_node("detector_node", cameras=list(CAMERAS), **parameters)


@pytest.mark.parametrize("resize_on", ["host", "engine"])
def test_every_camera_gets_the_detections_of_its_own_images(probe, cameras, start, photo, resize_on):
    reports, infos = (
        probe.receive(DiagnosticArray, "/diagnostics"),
        probe.receive(LabelInfo, "label_info", LATCHED),
    )
    process = start(score_threshold=0.4, resize_on=resize_on)
    # Small ones: scripts/test runs Humble with ROS_LOCALHOST_ONLY, so without our profile for large images.
    photos = {"front": "chelsea", "rear": "coffee", "left": "astronaut"}
    pictures = {name: photo(picture, 240, 160) for name, picture in photos.items()}
    expected = {"front": "cat", "rear": "cup", "left": "person"}
    for name, camera in cameras.items():
        answer = camera.ask(pictures[name])
        assert expected[name] in names(answer)
        assert answer.header.frame_id == f"{name}_optical_frame"
    for _ in range(20):
        before = {name: len(camera.answers) for name, camera in cameras.items()}
        for name, camera in cameras.items():
            camera.send(pictures[name])
        probe.happens(lambda b=before: all(len(c.answers) > b[n] for n, c in cameras.items()), 5.0)
    for name, camera in cameras.items():
        assert {answer.header.frame_id for answer in camera.answers} == {f"{name}_optical_frame"}
        stamps = [answer.header.stamp.sec for answer in camera.answers]
        assert stamps == sorted(set(stamps)), "in order, each once"
        assert len(stamps) >= 15
        assert all(expected[name] in names(answer) for answer in camera.answers)
        assert f"first image on /{name}/image: " in process.log
        assert re.search(rf"\[detector\.{name}\]: .* waiting for images on /{name}/image", process.log)
    assert len({info.threshold for info in infos}) == 1
    probe.spin_until(
        lambda: all(
            statuses(reports).get(name, {}).get("processed") == str(len(camera.answers))
            for name, camera in cameras.items()
        ),
        "the counts of every camera",
    )
    assert set(statuses(reports)) == set(CAMERAS)


def test_a_camera_s_own_value_acts_on_it_alone_and_the_others_follow_the_node(probe, cameras, start, photo):
    process = start(**{"rear.score_threshold": 1.0})
    cat = photo("chelsea")
    assert probe.get_parameter("rear.score_threshold") == 1.0
    assert "cat" in names(cameras["front"].ask(cat))
    assert not names(cameras["rear"].ask(cat))
    assert probe.set_parameter("front.include_classes", ["dog"]).successful
    assert "cat" not in names(cameras["front"].ask(cat))
    assert "cat" in names(cameras["left"].ask(cat))
    assert probe.set_parameter("score_threshold", 1.0).successful
    assert not names(cameras["left"].ask(cat))
    refused = probe.set_parameter("front.roi", [0.0, 0.0, 2.5, 1.0])
    assert not refused.successful
    assert refused.reason.startswith("front.roi: found [0.0, 0.0, 2.5, 1.0]")
    refused = probe.set_parameter("front.tiles", [3])
    assert refused.reason == "front.tiles: found [3], expected two whole numbers: columns and rows"
    refused = probe.set_parameter("tiles", [0, 1])
    assert refused.reason.startswith("tiles: found [0, 1]"), "no camera has tiles of its own"
    refused = probe.set_parameter("front.score_threshold", 3.0)
    assert refused.reason == "front.score_threshold: found 3.0, expected a number from 0 to 1"
    assert probe.set_parameter("front.score_threshold", 0.3).successful
    assert probe.set_parameter("front.include_classes", []).successful
    assert "cat" in names(cameras["front"].ask(cat))
    assert unset(probe, "front.score_threshold")
    assert not names(cameras["front"].ask(cat)), "it follows the node again"
    assert probe.set_parameter("left.tiles", [2, 1]).successful
    assert re.findall(r"\[([^\]]+)\]: 3 views of an image", process.log) == ["detector.left"]


def unset(probe: Probe, name: str) -> bool:
    """Take a parameter's value away."""
    return bool(probe.set_parameter(name, None).successful)


def test_one_camera_can_be_disabled_and_a_broken_one_disturbs_no_other(probe, cameras, start, photo):
    process = start()
    cat = photo("chelsea")
    for camera in cameras.values():
        camera.ask(cat)
    answer = probe.call(SetBool, "detector/front/enable", SetBool.Request(data=False))
    assert (answer.success, answer.message) == (True, "disabled, active")
    probe.spin_until(lambda: not cameras["front"].is_matched, "the end of the subscription")
    cameras["rear"].ask(cat)
    rubbish = Image(height=4, width=4, encoding="bgr8", step=12, data=[0] * 7)
    publisher = probe.node.create_publisher(Image, "left/image", BEST_EFFORT)
    probe.spin_until(lambda: publisher.get_subscription_count() == 2, "the subscription")
    for _ in range(5):
        publisher.publish(rubbish)
        assert "cat" in names(cameras["rear"].ask(cat))
    assert "[detector.left]: image dropped: bgr8 image of 4x4: data has 7 bytes" in process.log
    probe.call(SetBool, "detector/enable", SetBool.Request(data=True))
    assert "cat" in names(cameras["front"].ask(cat))


def test_images_that_are_ready_together_run_in_one_batch_of_one_image_a_camera(
    probe, cameras, start_blank_detector, rig
):
    process = start_blank_detector(cameras=list(CAMERAS), resize_on="host")
    grey = np.zeros((48, 64, 3), np.uint8)
    for camera in cameras.values():
        camera.ask(grey)
    batches = []
    for _ in range(10):
        runs, answers = process.log.count("the engine runs"), {n: len(c.answers) for n, c in cameras.items()}
        (rig / "hold_run").touch()
        cameras["front"].send(grey)
        probe.spin_until(lambda r=runs: process.log.count("the engine runs") > r, "the first image in the engine")
        for _ in range(3):
            for camera in cameras.values():
                camera.send(grey)
        probe.happens(lambda: all(c.is_delivered for c in cameras.values()), 2.0)
        (rig / "hold_run").unlink()
        newest = cameras["front"].sent
        probe.happens(lambda n=newest: cameras["front"].answers[-1].header.stamp.sec == n, 2.0)
        gained = sum(len(c.answers) - answers[n] for n, c in cameras.items())
        batches.append((process.log.count("the engine runs") - runs, gained))
    assert (2, 4) in batches, f"one image, then one of each camera: found {batches} runs and answers"
    assert all(gained >= runs for runs, gained in batches)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"cameras": ["front", "a/b"]}, "cameras: found 'a/b', expected letters, digits and single _"),
        ({"cameras": ["front", "front"]}, "cameras: found 'front' twice, expected different names"),
        ({"cameras": ["front"], "frnt.roi": [0.0, 0.0, 1.0, 1.0]}, "frnt.roi is no parameter of /detector"),
    ],
    ids=["no name", "twice", "misspelt"],
)
def test_a_wrong_camera_ends_with_one_line(start_node, parameters, said):
    process = start_node("detector_node", **parameters)
    assert process.wait() == 1
    [line] = [line for line in process.log.splitlines() if "[FATAL]" in line]
    assert said in line
