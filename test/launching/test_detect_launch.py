"""detect.launch.py with the demo source in a namespace: boxes arrive, and everything ends in good order."""

from __future__ import annotations

import os
import unittest
from contextlib import ExitStack

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace, SetRemap
from launch_testing import post_shutdown_test
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
from node_process import PROFILE_VARIABLES
from probe import Probe, new_domain
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.files import share_folder

reserved = ExitStack()


@pytest.mark.launch_test
@pytest.mark.ros
def generate_test_description() -> LaunchDescription:
    """Launch the demo."""
    domain = reserved.enter_context(new_domain())
    for name in PROFILE_VARIABLES:
        os.environ.pop(name, None)
    launch_file = share_folder() / "launch" / "detect.launch.py"
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(domain)),
            GroupAction(
                [
                    PushRosNamespace("robot1"),
                    SetRemap(src="label_info", dst="names"),
                    IncludeLaunchDescription(
                        PythonLaunchDescriptionSource(str(launch_file)),
                        launch_arguments={
                            "source": "demo",
                            "detector_name": "eyes",
                            "remap": "detections:=objects debug_image:=view",
                            "image_topic": "camera/image_raw",
                            "score_threshold": "0.25",
                            "debug": "true",
                            "tracking": "true",
                        }.items(),
                    ),
                ]
            ),
            ReadyToTest(),
        ]
    )


def status_names(reports: list[DiagnosticArray]) -> set[str]:
    """The names in /diagnostics."""
    return {status.name for report in reports for status in report.status}


class TestRunning(unittest.TestCase):
    """While it runs."""

    def setUp(self) -> None:
        self.probe = Probe(int(os.environ["ROS_DOMAIN_ID"]))

    def tearDown(self) -> None:
        self.probe.close()

    def test_the_demo_is_seen_in_the_namespace(self):
        images = self.probe.receive(Image, "robot1/camera/image_raw")
        infos = self.probe.receive(CameraInfo, "robot1/camera/camera_info")
        drawn = self.probe.receive(Image, "robot1/view")
        answers = self.probe.receive(Detection2DArray, "robot1/objects")
        self.probe.spin_until(lambda: [a for a in answers if a.detections] and drawn and infos, "detections")
        self.probe.spin_until(lambda: images, "images")
        assert (images[0].width, images[0].height, images[0].header.frame_id) == (1280, 720, "robot1/camera")
        assert (drawn[0].width, drawn[0].height) == (1280, 720)

    def test_the_arguments_reach_the_detector(self):
        assert self.probe.get_parameter("score_threshold", "robot1/eyes") == 0.25
        assert self.probe.get_parameter("debug_image", "robot1/eyes") is True
        assert self.probe.get_parameter("tracking", "robot1/eyes") is True
        assert self.probe.get_parameter("frame_id", "robot1/camera") == "robot1/camera"

    def test_names_follow_the_arguments_and_the_remappings_around_the_include(self):
        reports = self.probe.receive(DiagnosticArray, "/diagnostics")
        self.probe.spin_until(lambda: len(status_names(reports)) > 1, "the status of both nodes")
        assert status_names(reports) == {"/robot1/eyes: detector", "/robot1/camera: camera"}
        topics = {name for name, _ in self.probe.node.get_topic_names_and_types()}
        assert topics >= {f"/robot1/{name}" for name in ("objects", "view", "view/compressed", "names")}
        assert not topics & {f"/robot1/{name}" for name in ("detections", "debug_image", "label_info")}


@post_shutdown_test()
class TestEnded(unittest.TestCase):
    """After it was told to end."""

    @classmethod
    def tearDownClass(cls) -> None:
        reserved.close()

    def test_everything_ended_in_good_order(self, proc_info):
        assert len(proc_info.processes()) == 1
        assertExitCodes(proc_info)

    def test_nothing_went_wrong(self, proc_output):
        said = "".join(output.text.decode() for output in proc_output)
        assert "waiting for images" in said
        assert "Traceback" not in said
        assert "[ERROR]" not in said
