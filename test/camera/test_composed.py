"""Camera and detector in one process, over real DDS."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_process import NodeProcess
from probe import BEST_EFFORT, Probe
from ros_fixtures import ros_arguments
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.camera.camera_node import MOST_HUNG
from trt_ssd_ros.images.compressed import encode_jpeg
from trt_ssd_ros.node.messages import compressed_to_msg

pytestmark = pytest.mark.ros
RIGGED_CAMERA = Path(__file__).parents[1] / "support" / "rigged_camera.py"
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@pytest.fixture
def start_composed(start_process: Any, rig: Path) -> Callable[..., NodeProcess]:
    """Start rigged cameras and a blank detector in one process; sets parameters of all nodes."""

    def start(*cameras: str, **parameters: Any) -> NodeProcess:
        command = [sys.executable, str(RIGGED_CAMERA), *cameras, *ros_arguments(parameters)]
        return start_process(command, RIG=str(rig))

    return start


class Watch:
    """What a composed process publishes."""

    def __init__(self, probe: Probe, camera: str = "") -> None:
        self.probe = probe
        self.answers: list[Detection2DArray] = probe.receive(Detection2DArray, f"{camera}/detections".lstrip("/"))
        self._reports: list[DiagnosticArray] = probe.receive(DiagnosticArray, "/diagnostics")

    def await_answers(self) -> None:
        """Wait for new detections."""
        before = len(self.answers)
        self.probe.spin_until(lambda: len(self.answers) > before + 3, "detections")

    @property
    def checks(self) -> int:
        """Number of reports so far, one a second of each node."""
        return len(self._reports)

    def status(self, node: str) -> DiagnosticStatus:
        """The newest status of a node."""
        statuses = [s for report in self._reports for s in report.status if f": {s.name}".endswith(f": {node}")]
        return statuses[-1] if statuses else DiagnosticStatus()

    def await_status(self, node: str, level: bytes, text: str) -> None:
        """Wait for a status of a node."""

        def is_there() -> bool:
            status = self.status(node)
            return status.level == level and text in status.message

        self.probe.spin_until(is_there, f"{node}: {text}")

    def value(self, node: str, key: str) -> int:
        """A count in the newest status of a node."""
        return int({value.key: value.value for value in self.status(node).values}[key])


def enable(probe: Probe, wanted: bool) -> None:
    """Enable or disable the detector."""
    assert probe.call(SetBool, "detector/enable", SetBool.Request(data=wanted)).success


def test_images_reach_the_detector_directly_and_subscribers_as_messages(probe, start_composed):
    watch, process = Watch(probe), start_composed(frame_id="front")
    watch.await_answers()
    assert {answer.header.frame_id for answer in watch.answers} == {"front"}
    assert probe.node.count_subscribers("image_raw") == probe.node.count_subscribers("image") == 0
    images, infos = probe.receive(Image, "image_raw", BEST_EFFORT), probe.receive(CameraInfo, "camera_info")

    def stamps(messages: list[Any]) -> set[tuple[int, int]]:
        return {(message.header.stamp.sec, message.header.stamp.nanosec) for message in messages}

    probe.spin_until(
        lambda: len(stamps(images) & stamps(infos) & stamps(watch.answers)) > 5, "all three of an image"
    )
    assert (images[0].width, images[0].height, images[0].encoding) == (64, 48, "bgr8")
    steps = np.diff([image.data[0] for image in images])
    assert ((steps % 256 > 0) & (steps % 256 < 128)).all(), "in order, each once; a busy machine loses some"
    assert "first image of the camera in this process: 64x48 bgr8" in process.log


def test_the_camera_is_closed_while_nobody_wants_its_images(probe, start_composed):
    watch, process = Watch(probe), start_composed()
    watch.await_answers()
    enable(probe, False)
    watch.await_status("camera", OK, "idle, waiting for the detector, or a subscriber on /image_raw")
    images = probe.receive(Image, "image_raw", BEST_EFFORT)
    probe.spin_until(lambda: images, "images for another subscriber")
    enable(probe, True)
    watch.await_answers()
    assert process.log.count("publishing demo at the rate of the source") >= 2


def test_camera_info_alone_is_published_too(probe, start_composed):
    infos = probe.receive(CameraInfo, "camera_info")
    start_composed(**{"detector:autostart": False})
    probe.spin_until(lambda: infos, "camera_info without a detector or a viewer")


def test_a_closed_camera_ends_without_opening_its_source(probe, start_composed):
    watch, process = Watch(probe), start_composed(lazy=True)
    watch.await_answers()
    for subscription in list(probe.node.subscriptions):
        if subscription.topic_name == "/detections":
            probe.node.destroy_subscription(subscription)
    watch.await_status("camera", OK, "idle")
    opened = process.log.count("publishing demo")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert process.log.count("publishing demo") == opened
    assert "Failed to publish" not in process.log


def test_every_image_is_counted_while_the_detector_is_slow(probe, start_composed):
    watch, _ = Watch(probe), start_composed(max_rate=7.0)
    watch.await_answers()
    probe.spin_until(lambda: watch.status("detector").values, "a status of the detector")
    probe.spin_until(
        lambda: watch.value("detector", "rate_limited") > watch.value("detector", "processed"),
        "rate_limited images",
    )
    enable(probe, False)
    watch.await_status("camera", OK, "idle")
    names = ("processed", "dropped", "refused", "discarded", "rate_limited", "too_old")

    def are_counted() -> bool:
        received = watch.value("detector", "received")
        # The last images are those that are captured while the detector closes its input.
        all_came = 0 <= watch.value("camera", "published") - received < 5
        return all_came and received == sum(watch.value("detector", name) for name in names)

    probe.spin_until(are_counted, "counts of all images")


def test_a_source_that_fails_or_hangs_is_opened_again_and_ends_nothing(probe, start_composed, rig):
    watch, process = Watch(probe), start_composed(input_timeout=0.5)
    watch.await_answers()
    (rig / "fail").write_text("the plug is out")
    watch.await_status("camera", ERROR, "no images, reopening the source: the plug is out")
    watch.await_status("detector", ERROR, "no image comes from the camera in this process: no images, reopening")
    (rig / "fail").unlink()
    watch.await_answers()
    watch.await_status("camera", OK, "images")
    (rig / "hang").touch()
    watch.await_status("camera", ERROR, "no images, reopening the source: the source hangs: no image for 0.5 s")
    (rig / "hang").unlink()
    watch.await_answers()
    watch.await_status("camera", OK, "images")
    assert watch.value("camera", "interruptions") >= 1
    assert process.log.count("the source failed, trying again until it opens: the plug is out") == 1
    (rig / "hang").touch()
    watch.await_status("camera", ERROR, "hangs")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.log


def test_wait_for_source_false_ends_the_process_only_at_the_start(probe, start_composed, rig):
    (rig / "absent").touch()
    refused = start_composed(wait_for_source=False)
    assert refused.wait() == 1
    assert "[FATAL]" in refused.log
    (rig / "absent").unlink()
    watch, process = Watch(probe), start_composed(wait_for_source=False)
    watch.await_answers()
    (rig / "absent").touch()
    (rig / "hang").touch()
    watch.await_status("camera", ERROR, "no images, reopening the source: the camera is not plugged in")
    (rig / "hang").unlink()
    (rig / "absent").unlink()
    watch.await_answers()
    enable(probe, False)
    watch.await_status("camera", OK, "idle")
    (rig / "absent").touch()
    enable(probe, True)
    watch.await_status("camera", WARN, "waiting for the source: the camera is not plugged in")
    enable(probe, False)
    watch.await_status("camera", OK, "idle")
    (rig / "absent").unlink()
    enable(probe, True)
    watch.await_answers()
    assert "wait_for_source:=false ends the node instead" not in process.log


def test_only_some_threads_are_left_to_a_source_that_hangs(probe, start_composed, rig):
    watch, _ = Watch(probe), start_composed()
    watch.await_answers()
    (rig / "hang").touch()
    watch.await_status("camera", ERROR, "no images, reopening the source: the source hangs: no image for 0.5 s")
    probe.spin_until(lambda: watch.value("camera", "interruptions") == MOST_HUNG, "all threads that may hang")
    checked = watch.checks
    probe.spin_until(lambda: watch.checks > checked + 6, "some more checks of the camera")
    assert watch.value("camera", "interruptions") == MOST_HUNG
    assert watch.status("camera").level == ERROR
    (rig / "hang").unlink()
    watch.await_answers()
    watch.await_status("camera", OK, "images")


def test_a_source_that_hangs_and_is_gone_ends_nothing(probe, start_composed, rig):
    watch, process = Watch(probe), start_composed()
    watch.await_answers()
    (rig / "gone").touch()
    (rig / "hang").touch()
    watch.await_status("camera", ERROR, "no images, reopening the source: the camera is gone")
    (rig / "hang").unlink()
    (rig / "gone").unlink()
    watch.await_answers()
    watch.await_status("camera", OK, "images")
    assert process.running


def test_a_file_that_is_deleted_while_its_source_is_closed_is_named_once(probe, start_process, tmp_path, photo):
    import cv2

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for _ in range(30):
        writer.write(cv2.resize(photo("chelsea"), (64, 48)))
    writer.release()
    watch = Watch(probe)
    command = [sys.executable, "-m", "trt_ssd_ros.camera.composed", *ros_arguments({"source": path})]
    process = start_process(command)
    watch.await_answers()
    enable(probe, False)
    watch.await_status("camera", OK, "idle")
    path.rename(tmp_path / "away.avi")
    enable(probe, True)
    watch.await_status("camera", ERROR, f"no images, reopening the source: source: {path} does not exist")
    (tmp_path / "away.avi").rename(path)
    watch.await_answers()
    watch.await_status("camera", OK, "images")
    assert process.log.count("the source failed, trying again until it opens") == 1
    assert process.log.count("publishing ") == 2


def test_a_folder_that_is_played_once_is_detected_in_to_its_end(probe, start_process, tmp_path, photo):
    import cv2

    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photo("chelsea"))
    parameters = {"source": str(tmp_path), "loop": False, "rate": 2.0, "input_timeout": 0.5}
    watch = Watch(probe)
    command = [sys.executable, "-m", "trt_ssd_ros.camera.composed", *ros_arguments(parameters)]
    process = start_process(command)
    process.wait_until_it_says("the source ended after 5 images: it does not start again, as loop is false")
    watch.await_status("camera", ERROR, "the source has ended after 5 images")
    watch.await_status("detector", ERROR, "no image comes from the camera in this process: the source has ended")
    assert watch.value("detector", "processed") == 5
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_two_cameras_of_the_process_and_one_of_a_topic_share_the_detector(probe, start_composed, photo):
    watches = {name: Watch(probe, name) for name in ("front", "rear", "side")}
    side = probe.node.create_publisher(CompressedImage, "side/image/compressed", BEST_EFFORT)
    given = {"detector:cameras": "[front, rear, side]", "detector:image_transport": "compressed"}
    process = start_composed("front", "rear", **given)
    message = compressed_to_msg(encode_jpeg(photo("chelsea", 64, 48), "bgr"), Header(frame_id="cam3"))

    def are_answered() -> bool:
        side.publish(message)
        return probe.happens(lambda: all(len(watch.answers) > 3 for watch in watches.values()), 0.2)

    probe.spin_until(are_answered, "detections of each camera")
    frames = {name: {answer.header.frame_id for answer in watch.answers} for name, watch in watches.items()}
    assert frames == {"front": {"front/camera"}, "rear": {"rear/camera"}, "side": {"cam3"}}
    assert "is not used" not in process.log
    for camera in ("front", "rear"):
        assert process.log.count(f"[{camera}.camera]: the source opens") == 1
    assert probe.call(SetBool, "detector/front/enable", SetBool.Request(data=False)).success
    watches["front"].await_status("/front/camera: camera", OK, "idle, waiting for the detector")
    watches["rear"].await_answers()
    watches["rear"].await_status("/rear/camera: camera", OK, "images")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.log


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ([], "cameras: found front, rear in the process of one camera, expected none: launch with cameras:="),
        (["side"], "cameras: found front, rear, expected side among them, as on the command line"),
    ],
)
def test_cameras_that_do_not_fit_the_process_are_refused(start_composed, here, said):
    process = start_composed(*here, **{"detector:cameras": "[front, rear]"})
    assert process.wait() == 1
    assert said in process.log
