"""The locator over DDS: every detection gets a place, or is counted under a reason. One process for all tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from depth_rig import (
    CAMERA,
    DEPTH_CAMERA,
    FOCAL,
    HEIGHT,
    WIDTH,
    DepthRig,
    depth_message,
    header,
    info_message,
    plate,
    points,
    scene,
    transform,
)
from geometry_msgs.msg import TransformStamped
from node_process import NodeProcess
from probe import Probe, new_domain
from ros_fixtures import ros_arguments
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3D

from trt_ssd_ros.depth.placement import Reason

pytestmark = pytest.mark.ros

UPRIGHT = (-0.5, 0.5, -0.5, 0.5)
"""Rotation of an optical frame in one with x ahead, y left and z up (REP 103)."""
NO_TURN = (0, 0, 0, 1)
NO_DEPTH_IMAGE, NO_CALIBRATION, NO_TRANSFORM = "no depth image", "no calibration", "no transform"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DepthRig]:
    """A locator and what is around it."""
    with ExitStack() as stack:
        domain = stack.enter_context(new_domain())
        probe = stack.enter_context(closing(Probe(domain)))
        settings = {"max_wait": 1.0, "diagnostic_updater.period": 0.1}
        command = [sys.executable, "-m", "trt_ssd_ros.depth.locator_node", *ros_arguments(settings)]
        log: Path = tmp_path_factory.mktemp("locator") / "locator.log"
        process = stack.enter_context(closing(NodeProcess(command, domain, log)))
        rig = DepthRig(probe)
        rig.process = process
        rig.await_node()
        yield rig


@pytest.fixture
def settled(rig: DepthRig) -> Iterator[DepthRig]:
    """A locator whose inputs have been fine for some images, with the default parameters after the test."""
    for _ in range(3):
        rig.ask(rig.step())
    yield rig
    for name, value in {"target_frame": "", "max_range": 10.0, "registration": "auto"}.items():
        assert rig.probe.set_parameter(name, value, "locator").successful


def place(found: Detection3D) -> list[float]:
    """The position of an object in metres."""
    position = found.results[0].pose.pose.position
    return [position.x, position.y, position.z]


def test_inputs_that_are_missing_are_named_one_after_the_other(rig):
    said = "no detections arrive: /probe publishes /detections, but no message arrives"
    rig.probe.spin_until(lambda: rig.status().message.startswith(said), "its status")
    rig.expect(
        NO_DEPTH_IMAGE, "publishes /depth/image, but no message arrives", lambda: rig.send_detections(plate())
    )
    stamp = header(rig.now)
    rig.send_depth(depth_message(scene(), stamp))
    rig.expect(
        NO_CALIBRATION, "no camera_info: /probe publishes /camera_info", lambda: rig.send_detections(plate())
    )
    rig.send_infos(info_message(stamp), None)
    rig.expect(NO_CALIBRATION, "publishes /depth/camera_info, but no", lambda: rig.send_detections(plate()))
    assert not rig.answers  # an empty array would say that there is no object
    assert rig.status().level == b"\1"
    rig.probe.spin_until(lambda: "no place for 1 object: no calibration" in rig.process.log, "the log")


def test_an_object_is_placed_with_its_id_its_class_and_the_header_of_the_image(settled):
    asked = settled.step()
    answer = settled.ask(asked)
    assert answer.header == asked.header
    [found] = answer.detections
    assert (found.header, found.id) == (asked.header, "run-7")
    assert found.results[0].hypothesis == asked.detections[0].results[0].hypothesis
    assert place(found) == pytest.approx([0, 0, 2], abs=0.05)
    assert found.bbox.center == found.results[0].pose.pose
    size = found.bbox.size
    assert (size.x, size.y) == pytest.approx((WIDTH / 3 / FOCAL * 2, HEIGHT / 3 / FOCAL * 2), rel=0.1)
    assert size.z > 0
    covariance = np.reshape(found.results[0].pose.covariance, (6, 6))
    assert np.allclose(covariance, covariance.T)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_an_object_of_a_detector_without_classes_and_ids_is_placed(settled):
    unnamed = plate(name="")
    unnamed.results = []
    [found] = settled.ask(settled.step(unnamed)).detections
    assert (found.id, len(found.results), found.results[0].hypothesis.class_id) == ("", 1, "")
    assert place(found) == pytest.approx([0, 0, 2], abs=0.05)


def test_an_image_without_objects_needs_no_depth(settled):
    answer = settled.ask(settled.send_detections(stamp=settled.now + 50))
    assert answer.detections == []


def test_the_encoding_says_the_unit(settled):
    settled.now += 0.1
    millimetres = depth_message((scene() * 1000).astype("<u2"), header(settled.now), "16UC1")
    settled.send_depth(millimetres)
    [found] = settled.ask(settled.send_detections(plate())).detections
    assert place(found)[2] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("missing", [np.nan, 0.0, np.inf])
def test_an_object_without_depth_is_counted_beside_one_that_is_placed(settled, missing):
    depths = scene()
    depths[:, : WIDTH // 2] = missing
    left, right = plate(name="left"), plate(name="right")
    left.bbox.center.position.x, right.bbox.center.position.x = WIDTH * 0.25, WIDTH * 0.7
    before = settled.counts()["no depth in the box"]
    stamp = header(settled.now + 0.1)
    [found] = settled.ask(settled.step(left, right, depth=depth_message(depths, stamp))).detections
    assert found.id == "right"
    settled.probe.spin_until(lambda: settled.counts()["no depth in the box"] == before + 1, "the count")


def test_boxes_without_height_of_nan_and_without_end_are_counted(settled):
    flat, broken, endless = plate(name="flat"), plate(name="broken"), plate(name="endless")
    flat.bbox.size_y, broken.bbox.size_x, endless.bbox.size_x = 0.0, np.nan, np.inf
    name = "box outside of the depth image"
    before = settled.counts()[name]
    [found] = settled.ask(settled.step(flat, broken, endless, plate())).detections
    assert found.id == "run-7"
    settled.probe.spin_until(lambda: settled.counts()[name] == before + 3, "the count")


def test_a_box_that_reaches_a_little_beyond_the_image_costs_no_object_its_place(settled):
    beyond = plate(name="beyond")
    beyond.bbox.center.position.x = WIDTH * 0.87  # ends at 1.04 widths
    assert len(settled.ask(settled.step(beyond, plate())).detections) == 2


def bad_encoding(rig: DepthRig) -> None:
    """Send a picture of the depth."""
    rig.step(depth=depth_message(scene().astype("u1"), header(rig.now + 0.1), "8UC1"))


def short_data(rig: DepthRig) -> None:
    """Send a depth image that is cut short."""
    message = depth_message(scene(), header(rig.now + 0.1))
    message.data = message.data[:1000]
    rig.step(depth=message)


def other_depth_size(rig: DepthRig) -> None:
    """Send a depth image of another size than its camera_info."""
    rig.step(depth=depth_message(scene(size=(80, 60)), header(rig.now + 0.1)))


def small_info(rig: DepthRig) -> None:
    """Send the camera_info of a smaller image."""
    rig.step()
    rig.send_infos(info_message(header(rig.now), 80, 60), None)
    rig.probe.spin(0.1)
    rig.send_detections(plate())


def empty_info(rig: DepthRig) -> None:
    """Send the camera_info of a camera that is not calibrated."""
    rig.step()
    rig.send_infos(info_message(header(rig.now), focal=0.0), None)
    rig.probe.spin(0.1)
    rig.send_detections(plate())


@pytest.mark.parametrize(
    ("send", "reason", "said"),
    [
        (bad_encoding, NO_DEPTH_IMAGE, "cannot read the depth image: depth image has the encoding '8UC1'"),
        (short_data, NO_DEPTH_IMAGE, "cannot read the depth image: "),
        (other_depth_size, NO_CALIBRATION, "depth image has 80x60 pixels"),
        (small_info, NO_CALIBRATION, "a box ends at 107, 80, but camera_info is for 80x60 pixels: remap"),
        (empty_info, NO_CALIBRATION, "/camera_info: camera_info has the focal lengths 0 and 0"),
    ],
    ids=["encoding", "short", "size of the depth image", "size of camera_info", "not calibrated"],
)
def test_what_cannot_be_used_is_named_counted_and_survived(settled, send, reason, said):
    settled.expect(reason, said, lambda: send(settled))
    assert len(settled.ask(settled.step()).detections) == 1


def test_a_registered_depth_image_of_another_size_is_used(settled):
    settled.now += 0.1
    stamp = header(settled.now)
    settled.send_infos(info_message(stamp), info_message(stamp, 80, 60, FOCAL / 2))
    settled.probe.spin(0.1)
    settled.send_depth(depth_message(scene(size=(80, 60)), stamp))
    [found] = settled.ask(settled.send_detections(plate())).detections
    assert place(found) == pytest.approx([0, 0, 2], abs=0.05)


def test_a_depth_image_that_comes_later_is_awaited(settled):
    def is_answered() -> bool:
        settled.now += 1.0
        asked = settled.send_detections(plate())
        settled.probe.spin(0.1)
        assert settled.answer(asked) is None
        settled.send_depth(depth_message(scene(), header(settled.now)))
        return settled.probe.happens(lambda: settled.answer(asked), 1.0)

    settled.probe.spin_until(is_answered, "an answer")


def test_half_the_rate_is_enough_and_a_stopped_depth_camera_is_not(settled):
    settled.ask(settled.step())
    [found] = settled.ask(settled.send_detections(plate(), stamp=settled.now + 0.05)).detections
    assert found.header.stamp.nanosec > 0
    far = settled.now + 5
    said = "the nearest stamp is -5000 ms away, and the depth images are"
    settled.expect(NO_DEPTH_IMAGE, said, lambda: settled.send_detections(plate(), stamp=far))
    assert "/probe has stopped publishing /depth/image" in settled.problem()


def test_objects_beyond_the_range_are_counted_and_a_wrong_range_is_refused(settled):
    assert settled.probe.set_parameter("max_range", 1.0, "locator").successful
    settled.expect("out of range", "objects placed", settled.step)
    refused = settled.probe.set_parameter("max_range", 0.05, "locator")
    assert not refused.successful
    assert refused.reason.startswith("max_range: found 0.05, expected more than min_range")


def test_a_transform_is_awaited_and_a_missing_one_is_named(settled):
    assert settled.probe.set_parameter("target_frame", "map", "locator").successful
    settled.expect(NO_TRANSFORM, f"no transform: from '{CAMERA}' to 'map': ", settled.step)

    def is_answered() -> bool:
        asked = settled.step(seconds=1.0)
        settled.probe.spin(0.1)
        settled.send_tf(transform("map", CAMERA, asked.header, (10, 0, 1), UPRIGHT))
        return settled.probe.happens(lambda: settled.answer(asked), 1.0)

    settled.probe.spin_until(is_answered, "an answer")
    assert settled.answers[-1].header.frame_id == "map"
    assert place(settled.answers[-1].detections[0]) == pytest.approx([12, 0, 1], abs=0.05)


def test_a_frame_that_jumps_is_followed_and_a_clock_that_goes_back_too(settled):
    assert settled.probe.set_parameter("target_frame", "map", "locator").successful
    for start in (settled.now + 10, 500.0):
        settled.now = start
        for x in (0.0, 100.0):
            asked = settled.step()
            settled.send_tf(transform("map", CAMERA, asked.header, (x, 0, 0), UPRIGHT))
            [found] = settled.ask(asked).detections
            assert place(found) == pytest.approx([x + 2, 0, 0], abs=0.05)
    settled.probe.spin_until(lambda: settled.counts()["clock jumps"], "the count of jumps")


def test_transforms_after_a_jump_of_the_depth_images_serve_the_detections_that_come_later(settled):
    assert settled.probe.set_parameter("target_frame", "map", "locator").successful
    asked = settled.step()
    settled.send_tf(transform("map", CAMERA, asked.header, (0, 0, 0), UPRIGHT))
    settled.ask(asked)
    settled.now = 250.0
    for late in (0.0, 0.1):  # the bag has begun again, and the detector still has its first image
        stamp = header(settled.now + late)
        settled.send_depth(depth_message(scene(), stamp))
        settled.probe.spin(0.1)
        settled.send_tf(transform("map", CAMERA, stamp, (7, 0, 0), UPRIGHT))
        settled.probe.spin(0.1)
    [found] = settled.ask(settled.send_detections(plate())).detections
    assert place(found) == pytest.approx([9, 0, 0], abs=0.05)


def test_depth_images_without_stamps_serve_detections_without_stamps(settled):
    for distance in (1.0, 2.0, 3.0):
        settled.send_depth(depth_message(scene(distance), header(0)))
        settled.probe.spin(0.1)
        settled.answers.clear()
        [found] = settled.ask(settled.send_detections(plate(), stamp=0.0)).detections
        assert place(found)[2] == pytest.approx(distance, abs=0.05)


def test_depth_images_of_another_clock_are_told_apart_from_a_camera_that_has_stopped(settled):
    settled.now += 5000

    def step() -> None:
        settled.send_detections(plate())
        for _ in range(6):
            settled.now += 0.2
            settled.send_depth(depth_message(scene(), header(settled.now - 500)))
            settled.probe.spin(0.2)

    settled.expect(NO_DEPTH_IMAGE, "arrive with older stamps: synchronise the clocks", step)


def test_a_depth_image_of_another_frame_is_projected_into_the_camera(settled):
    def shifted() -> Detection3D | None:
        """The depth camera is 0.2 m to the right of the camera, so the plate is to the left in its image."""
        settled.now += 0.1
        depths = np.full((HEIGHT, WIDTH), 4, np.float32)
        depths[HEIGHT // 3 : 2 * HEIGHT // 3, WIDTH // 3 - 10 : 2 * WIDTH // 3 - 10] = 2
        settled.send_depth(depth_message(depths, header(settled.now, DEPTH_CAMERA)))
        answer = settled.ask(settled.send_detections(plate()))
        return answer.detections[0] if answer.detections else None

    stamp = header(settled.now)
    settled.send_tf(transform(CAMERA, DEPTH_CAMERA, stamp, (0.2, 0, 0), NO_TURN), static=True)
    found = shifted()
    assert found is not None
    assert place(found) == pytest.approx([0, 0, 2], abs=0.05)


def test_obstacles_are_the_points_of_the_objects(settled):
    empty = settled.send_detections(stamp=settled.now + 0.05)
    settled.ask(empty)
    asked = settled.step()
    settled.ask(asked)
    headers = [empty.header, asked.header]
    settled.probe.spin_until(lambda: [c for c in settled.clouds if c.header == asked.header], "the obstacles")
    nothing, cloud = [c for c in settled.clouds if c.header in headers]
    assert len(points(nothing)) == 0
    assert len(points(cloud)) > 20
    assert np.ptp(points(cloud)[:, 0]) == pytest.approx(WIDTH / 3 / FOCAL * 2, rel=0.15)
    assert points(cloud)[:, 2] == pytest.approx(2.0, abs=0.05)


def test_the_target_is_the_nearest_object_of_a_class_or_of_an_id(settled):
    depths = scene()
    depths[:, : WIDTH // 3], depths[:, WIDTH // 3 : 2 * WIDTH // 3], depths[:, 2 * WIDTH // 3 :] = 3, 1, 2
    found = [plate(label=label, name=name) for label, name in (("person", "a"), ("cat", "b"), ("person", "c"))]
    for index, detection in enumerate(found):
        detection.bbox.center.position.x = WIDTH * (1 + 2 * index) / 6
        detection.bbox.size_x = WIDTH / 5

    def target_distance() -> float | None:
        asked = settled.step(*found, depth=depth_message(depths, header(settled.now + 0.1)))
        settled.ask(asked)
        settled.probe.spin(0.05)
        poses = [pose for pose in settled.targets if pose.header == asked.header]
        return poses[0].pose.position.z if poses else None

    choices = [
        ("", "", 1),
        ("person", "", 2),
        ("", "a", 3),
        ("person", "c", 2),
        ("dog", "", None),
        ("", "d", None),
    ]
    for label, name, distance in [*choices, choices[0]]:
        for parameter, value in (("target_class", label), ("target_id", name)):
            assert settled.probe.set_parameter(parameter, value, "locator").successful
        assert target_distance() == (None if distance is None else pytest.approx(distance, abs=0.05))


def test_each_object_with_an_id_has_a_frame_if_wanted(settled):
    frames = settled.probe.receive(TFMessage, "/tf")
    assert settled.probe.set_parameter("publish_tf", True, "locator").successful

    def arrived() -> list[TransformStamped]:
        settled.ask(settled.step(plate(name="run-7"), plate(name="")))
        return [frame for message in frames for frame in message.transforms if frame.header.frame_id == CAMERA]

    settled.probe.spin_until(arrived, "the frame")
    assert settled.probe.set_parameter("publish_tf", False, "locator").successful
    assert {frame.child_frame_id for frame in arrived()} == {"object_run-7"}
    assert arrived()[0].transform.translation.z == pytest.approx(2, abs=0.05)


def test_every_object_was_counted(rig):
    counts = rig.counts()
    unplaced = sum(counts[reason.value] for reason in Reason)
    assert counts["objects"] == counts["placed"] + unplaced
    assert "objects are placed again" in rig.process.log
