"""Several cameras in one detector node: who is served when, and that nothing is mixed up; over real DDS."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from camera_rig import Reports, Sender, TellingEngine, detector_node
from probe import PATIENCE, Probe
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.engine import TensorSpec
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.opened_model import MAX_BATCH

pytestmark = pytest.mark.ros
MESSAGES = 10_000
ROUNDS = 60
CAMERAS = ("front", "rear", "left", "right")
NUMBERED = get_rmw_implementation_identifier() == "rmw_fastrtps_cpp" and os.environ.get("ROS_DISTRO") != "humble"
"""Whether the middleware numbers images, so that dropped ones are counted."""
Start = Callable[..., dict[str, Sender]]


@pytest.fixture
def engine() -> TellingEngine:
    """An engine that tells pictures apart."""
    return TellingEngine()


@pytest.fixture
def start(probe: Probe, domain: int) -> Iterator[Start]:
    """Run a detector on an engine, and return its cameras, but for `skip`, once each is answered."""
    with ExitStack() as stack:

        def begin(engine: Any, *names: str, skip: str = "", **parameters: Any) -> dict[str, Sender]:
            stack.enter_context(detector_node(domain, engine, names, **parameters))
            senders = {name: Sender(probe, name, index) for index, name in enumerate(names) if name != skip}
            for sender in senders.values():
                sender.begin()
            return senders

        yield begin


@pytest.mark.parametrize(
    ("groups", "single", "sizes"),
    [(1, False, {4}), (2, False, {1, 3}), (4, False, {1}), (1, True, {1})],
    ids=["one batch", "two sets of thresholds", "four sets of thresholds", "a network of one image"],
)
def test_an_overloaded_engine_serves_all_cameras_alike_with_new_images(
    probe, start, engine, single_card_path, groups, single, sizes
):
    reports = Reports(probe)
    if single:
        engine.inputs = {"image": TensorSpec(np.dtype(np.uint8), (1, "H", "W", 3))}
    own = {f"{name}.score_threshold": 0.9 - index / 10 for index, name in enumerate(CAMERAS[1:groups])}
    cameras = start(engine, *CAMERAS, **own, **({"model": single_card_path} if single else {}))
    for camera in cameras.values():
        camera.watch()
    await_counts(probe, reports, cameras, {})
    before, first = reports.counts(), {name: camera.number for name, camera in cameras.items()}
    published = {(index, camera.number + 1): 0 for index, camera in enumerate(cameras.values())}
    engine.held = True
    cameras["front"].send()
    runs = [engine.started.get(timeout=PATIENCE)]
    for number in range(1, 20 * (5 - max(sizes)) + 1):
        for _ in range(3):
            for index, camera in random.sample(list(enumerate(cameras.values())), len(cameras)):
                published[index, camera.send()] = number
        probe.spin_until(lambda: all(c.arrived == c.number for c in cameras.values()), "the pictures")
        engine.permits.release()
        runs.append(engine.started.get(timeout=PATIENCE))
    engine.held = False
    engine.permits.release()
    for camera in cameras.values():
        camera.send()
        camera.await_answer()
    received = {n: before[n]["received"] + camera.number - first[n] for n, camera in cameras.items()}
    await_counts(probe, reports, cameras, received if NUMBERED else {})
    assert all(number - published[told] in (0, 1) for number, run in enumerate(runs[1:], 1) for told in run), "new"
    served = Counter(camera for run in runs[1:] for camera, _ in run)
    assert len(served) == len(CAMERAS)
    assert max(served.values()) <= 1.05 * min(served.values())
    assert {len(run) for run in runs[1:]} == sizes
    for name, camera in cameras.items():
        camera.check_answers()
        counts = reports.counts()[name]
        if not NUMBERED:
            continue
        processed, dropped = (counts[key] - before[name][key] for key in ("processed", "dropped"))
        assert processed + dropped == camera.number - first[name]
        assert dropped > processed > 20


def await_counts(
    probe: Probe, reports: Reports, cameras: Mapping[str, Sender], received: Mapping[str, int]
) -> None:
    """Wait until /diagnostics count all answers, and all of `received` images if it says how many."""

    def are_there() -> bool:
        counts = reports.counts()
        return all(
            counts.get(name, {}).get("processed") == len(camera.answers)
            and counts[name]["received"] == received.get(name, counts[name]["received"])
            for name, camera in cameras.items()
        )

    probe.spin_until(are_there, f"the counts of {received} images; the last are {reports.counts()}")


def test_broken_bursty_huge_and_killed_cameras_hold_up_no_other(
    start, start_process, probe, engine, small_picture
):
    cameras = start(engine, *CAMERAS, "huge", "killed", skip="killed")
    front, rear, rubbish, bursty = (cameras[name] for name in CAMERAS)
    killed: list[Detection2DArray] = probe.receive(Detection2DArray, "killed/detections")
    source = ["-p", f"source:=file:{small_picture}", "-p", "rate:=50.0", "-r", "image_raw:=killed/image"]
    command = [sys.executable, "-m", "trt_ssd_ros.camera.camera_node", "--ros-args", *source]
    process, before = start_process(command), len(front.answers)
    probe.spin_until(lambda: killed, "the camera that is killed later")
    for number in range(ROUNDS):
        if number == ROUNDS // 3:
            process.send_signal(signal.SIGKILL)
            process.wait()
        rubbish.publisher.publish(b"\0\1\0\0rubbish" if number % 2 else Image(height=4, width=4, encoding="bgr8"))
        for _ in range(number % 7 * 5):
            bursty.send()
        if number % 10 == 0:
            cameras["huge"].send(np.zeros((2160, 3840, 3), np.uint8))
        front.send()
        rear.send()
        front.await_answer()
        rear.await_answer()
    assert len(front.answers) == before + ROUNDS, "each picture is answered"
    start_process(command)
    again = len(killed)
    probe.spin_until(lambda: len(killed) > again + 5, "the camera that was killed")
    rubbish.begin()
    bursty.begin()
    for camera in (front, rear, rubbish, bursty):
        camera.check_answers()


def test_more_views_than_the_largest_batch_run_in_several(start, engine, monkeypatch):
    batches = []

    def noting(self, inputs, run=TellingEngine.run):
        batches.append(len(inputs["image"]))
        return run(self, inputs)

    monkeypatch.setattr(TellingEngine, "run", noting)
    start(engine, "front", "rear", tiles=[8, 8], whole_view=False)
    assert max(batches) == MAX_BATCH


def test_answers_are_never_mixed_up_among_thousands_of_pictures(start, engine):
    cameras = start(engine, *CAMERAS, "top")
    senders = list(cameras.values())
    sent = 0
    while sent < MESSAGES:
        for _ in range(100):
            camera = random.choice(senders)  # noqa: S311 - to be unlike, not unguessable
            camera.send()
            sent += 1
        for camera in senders:
            camera.await_answer()
    for camera in senders:
        camera.check_answers()
    answers = sum(len(camera.answers) for camera in senders)
    assert answers > MESSAGES / 20


def test_the_boxes_of_several_cameras_are_those_of_each_alone(start, shipped_engine, detector, photo):
    photos = {"chelsea": photo("chelsea"), "coffee": photo("coffee", 320, 240), "astronaut": photo("astronaut")}
    cameras = start(shipped_engine, *photos)
    for _ in range(5):
        for name, camera in cameras.items():
            camera.send(photos[name])
        for camera in cameras.values():
            camera.await_answer()
    for name, camera in cameras.items():
        alone = detector.detect(photos[name])
        assert len(alone.scores) > 0
        for answer in camera.answers[-5:]:
            found = detections_of(answer, detector.card)
            np.testing.assert_array_equal(found.class_ids, alone.class_ids)
            np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
            np.testing.assert_allclose(found.boxes, alone.boxes, atol=0.01)


def detections_of(answer: Detection2DArray, card: ModelCard) -> Detections:
    """The detections in a message."""
    corners, scores, ids = [], [], []
    for detection in answer.detections:
        centre, box = detection.bbox.center.position, detection.bbox
        right, down = box.size_x / 2, box.size_y / 2
        corners.append([centre.x - right, centre.y - down, centre.x + right, centre.y + down])
        scores.append(detection.results[0].hypothesis.score)
        ids.append(card.labels.index(detection.results[0].hypothesis.class_id))
    return Detections(np.array(corners, np.float32), np.array(scores, np.float32), np.array(ids, np.int32))
