"""Tracking in the detector node, over real DDS: ids in the messages, sessions, scores below the threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pytest
from bags import START, write_bag
from camera_rig import QOS, Sender, detector_node, picture
from detect_command import run
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from probe import Probe
from rosbags.rosbag2 import StoragePlugin
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.bench.ros.reference_nodes import BlankEngine
from trt_ssd_ros.detection.engine import Tensors
from trt_ssd_ros.images.open_source import open_sources
from trt_ssd_ros.node import tracking_stage
from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.node.outputs import LATCHED
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.tools.results import read_results
from trt_ssd_ros.tracking.tracker import Tracker

pytestmark = pytest.mark.ros
Begin = Callable[..., dict[str, Sender]]


@dataclass(frozen=True)
class Seen:
    """An object in an image: left edge in image widths, score and index of the class."""

    left: float
    score: float = 0.9
    class_id: int = 0


class ScriptedEngine(BlankEngine):
    """Engine that finds given objects, if their scores reach the thresholds that the graph is asked for.

    Attributes:
        objects: Objects in the images of each camera.
    """

    def __init__(self) -> None:
        self.objects: dict[int, list[Seen]] = {}

    def run(self, inputs: Tensors) -> Tensors:
        """Return the objects in each image."""
        outputs = {name: tensor.copy() for name, tensor in super().run(inputs).items()}
        cameras = inputs["image"][:, 0, 0][:, inputs["channel_order"][::-1]][:, 0]
        for index, camera in enumerate(cameras.tolist()):
            for slot, seen in enumerate(self.objects.get(camera, [])):
                if seen.score >= inputs["class_threshold"][seen.class_id]:
                    outputs["boxes"][index, slot] = seen.left, 0.2, seen.left + 0.2, 0.8
                    outputs["scores"][index, slot] = seen.score
                    outputs["class_ids"][index, slot] = seen.class_id
                    outputs["keep"][index, slot] = 1
        return outputs


@pytest.fixture
def engine() -> ScriptedEngine:
    """An engine that finds what a test says."""
    return ScriptedEngine()


@pytest.fixture
def begin(probe: Probe, domain: int, engine: ScriptedEngine) -> Iterator[Begin]:
    """Run a detector that tracks, and return its cameras once each is answered."""
    with ExitStack() as stack:

        def begin(*names: str, **parameters: Any) -> dict[str, Sender]:
            stack.enter_context(detector_node(domain, engine, names, **{"tracking": True, **parameters}))
            senders = {name: Sender(probe, name, index) for index, name in enumerate(names)}
            for sender in senders.values():
                sender.begin()
            return senders

        yield begin


def ask(sender: Sender) -> Detection2DArray:
    """Send an image, one second after the one before, and return its answer."""
    sender.send()
    sender.await_answer()
    return sender.answers[-1]


def ids(answer: Detection2DArray) -> list[str]:
    """The ids, by falling score."""
    return [detection.id for detection in answer.detections]


def scores(answer: Detection2DArray) -> list[float]:
    """The scores in hundredths."""
    return [round(100 * detection.results[0].hypothesis.score) for detection in answer.detections]


def test_an_object_keeps_its_id_and_every_camera_has_ids_of_its_own(engine, begin):
    cameras = begin("front", "rear")
    found: dict[str, list[list[str]]] = {name: [] for name in cameras}
    for step in range(12):
        engine.objects = {camera: [Seen(0.1 + step / 20), Seen(0.7 - step / 20, 0.8, 1)] for camera in (0, 1)}
        for name, camera in cameras.items():
            found[name].append(ids(ask(camera)))
    for tracked in found.values():
        assert tracked[0] == ["", ""], "seen once"
        assert tracked[1:] == [tracked[1]] * 11
        assert len({name.rpartition("-")[0] for name in tracked[1]}) == 1
    assert len({*found["front"][1], *found["rear"][1]}) == 4


def test_low_scores_are_published_in_tracks_with_an_id_only(probe, engine, begin):
    infos = probe.receive(LabelInfo, "label_info", LATCHED)
    [camera] = begin(
        "front", score_threshold=0.5, exclude_classes=["bicycle"], class_thresholds=["car=0.8"]
    ).values()
    engine.objects = {0: [Seen(0.1, 0.9), Seen(0.4, 0.3), Seen(0.6, 0.9, 1), Seen(0.8, 0.7, 2)]}
    for _ in range(3):
        steady = ask(camera)
        assert scores(steady) == [90], "neither low scores, nor excluded classes, nor cars below 0.8"
    engine.objects = {0: [Seen(0.1, 0.2), Seen(0.4, 0.3), Seen(0.6, 0.3, 1)]}
    faint = ask(camera)
    assert (scores(faint), ids(faint)) == ([20], ids(steady))
    probe.spin_until(lambda: infos, "label_info")
    assert infos[-1].threshold == pytest.approx(0.1)
    engine.objects = {0: [Seen(0.1, 0.05)]}
    assert ids(ask(camera)) == [], "below track_low_threshold"


def test_tracks_age_in_images_without_objects(engine, begin):
    [camera] = begin("front", track_max_gap=3.0).values()
    engine.objects = {0: [Seen(0.1)]}
    first = [ids(ask(camera)) for _ in range(2)][-1]
    for gap, expected in ((3, first), (4, [""])):
        engine.objects = {}
        assert [ids(ask(camera)) for _ in range(gap - 1)] == [[]] * (gap - 1)
        engine.objects = {0: [Seen(0.1)]}
        assert ids(ask(camera)) == expected


def test_a_bag_that_loops_begins_a_session_and_so_do_a_switch_and_a_new_activation(probe, engine, begin):
    [camera] = begin("front").values()
    engine.objects = {0: [Seen(0.1)]}
    sessions = []

    def track() -> None:
        found = [ids(ask(camera)) for _ in range(3)]
        assert found[0] == [""], "seen once in the session"
        assert found[1] == found[2]
        sessions.append(found[2][0].rpartition("-")[0])

    engine.objects = {}
    ask(camera)
    engine.objects = {0: [Seen(0.1)]}
    track()
    camera.number, camera.answers[:] = 0, []
    track()
    assert sessions[1] == f"{sessions[0]}.2"
    assert probe.set_parameter("front.tracking", False).successful
    assert ids(ask(camera)) == [""]
    assert probe.set_parameter("front.tracking", True).successful
    track()
    for enabled in (False, True):
        probe.call(SetBool, "detector/front/enable", SetBool.Request(data=enabled))
    probe.spin_until(lambda: camera.publisher.get_subscription_count() > 0, "the subscription")
    engine.objects = {}
    camera.begin()
    engine.objects = {0: [Seen(0.1)]}
    track()
    assert len(set(sessions)) == 4


def test_images_without_stamps_are_tracked_by_the_time_of_their_arrival(probe, engine, begin):
    [camera] = begin("front").values()
    engine.objects = {0: [Seen(0.1)]}
    for number in range(3):
        before = len(camera.answers)
        camera.publisher.publish(image_to_msg(picture(0, number), "bgr", Header()))
        probe.spin_until(lambda n=before: len(camera.answers) > n, "the answer")
    assert ids(camera.answers[-1]) != [""]
    assert camera.answers[-1].header == Header(), "copied all the same"


def test_a_tracker_that_fails_is_reported_and_the_detections_go_on_without_ids(probe, engine, begin, monkeypatch):
    class BrokenTracker(Tracker):
        def update(self, *_: Any) -> Any:
            raise ArithmeticError("singular")

    reports: list[DiagnosticArray] = probe.receive(DiagnosticArray, "/diagnostics")
    [camera] = begin("front").values()
    engine.objects = {0: [Seen(0.1), Seen(0.4, 0.15)]}
    with monkeypatch.context() as patch:
        patch.setattr(tracking_stage, "Tracker", BrokenTracker)
        assert probe.set_parameter("tracking", False).successful
        ask(camera)
        assert probe.set_parameter("tracking", True).successful
        broken = ask(camera)
        assert (scores(broken), ids(broken)) == ([90], [""])
        failure = "tracking failed, detections have no ids: ArithmeticError: singular"
        probe.spin_until(lambda: any(failure in s.message for r in reports for s in r.status), "the warning")
        assert probe.set_parameter("tracking", False).successful
        ask(camera)
    assert probe.set_parameter("tracking", True).successful
    assert [ids(ask(camera))[0] == "" for _ in range(3)] == [True, False, False], "it recovers"
    reports.clear()
    tracks = [("tracks", "1")]
    probe.spin_until(
        lambda: any((v.key, v.value) in tracks for r in reports for s in r.status for v in s.values), "the count"
    )


def published(pixels: NDArray[np.uint8], stamp_ns: int) -> Image:
    """An image message with a stamp."""
    header = Header()
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return image_to_msg(pixels, "bgr", header)


@pytest.fixture(scope="module")
def tour() -> list[NDArray[np.uint8]]:
    """Images of the demo at 10 Hz, with a blank second, so that objects are seen again after exactly max_gap."""
    with closing(open_sources(["demo"])) as images:
        every = [cv2.resize(image.pixels, (640, 360)) for image in islice(images.images(), 0, 90, 3)]
    return [*every[:15], *[np.zeros_like(every[0])] * 9, *every[15:]]


@pytest.fixture
def node_answers(probe: Probe, domain: int, shipped_engine: Any, tour: Any) -> dict[int, Detection2DArray]:
    """The node's answers to the tour by stamp in nanoseconds."""
    answers: list[Detection2DArray] = probe.receive(Detection2DArray, "front/detections", 100)
    publisher = probe.node.create_publisher(Image, "front/image", QOS)
    with detector_node(domain, shipped_engine, ["front"], tracking=True):
        probe.spin_until(lambda: publisher.get_subscription_count() > 0, "the subscription")
        for number, pixels in enumerate(tour):
            message = published(pixels, START + number * 10**8)

            def is_answered(message: Image = message) -> bool:
                publisher.publish(message)  # again, it has the stamp of the one before and changes no track
                return probe.happens(lambda: bool(answers) and answers[-1].header == message.header, 1.0)

            probe.spin_until(is_answered, f"answer {number}")
    return {nanoseconds(answer.header.stamp): answer for answer in reversed(answers)}


def test_detect_gives_the_tracks_of_the_node(node_answers, tour, tmp_path):
    path = write_bag(tmp_path / "bag", tour, StoragePlugin.SQLITE3)
    assert run(path, "--track", "--output", tmp_path / "out", "--no-draw") == 0
    same, before, after, low = dict[str, str](), set(), set(), 0
    for number, result in enumerate(read_results(tmp_path / "out" / "results.jsonl")):
        answer, found = node_answers[START + number * 10**8], result.detections
        assert scores(answer) == [round(100 * score) for score in found.scores.tolist()]
        tracked = found.ids.tolist() if len(found) else []
        for ours, other in zip(ids(answer), tracked, strict=True):
            assert same.setdefault(ours, other) == other
            assert ours.rpartition("-")[2] == other.rpartition("-")[2]
        (before if number < 15 else after).update(tracked)
        low += sum(score < 30 for score in scores(answer))
    assert number == len(tour) - 1
    assert before & after - {""}, "an object that survives the gap"
    assert low > 5, "scores below the threshold"
