"""The arguments of detect.launch.py, right and wrong ones."""

from __future__ import annotations

import shutil
import sys

import pytest
from launch import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_visit import processes

from trt_ssd_ros.files import share_folder

pytestmark = pytest.mark.ros


def errors(log: str) -> list[str]:
    """The lines that tell what went wrong."""
    return [line for line in log.splitlines() if any(f"[{level}]" in line for level in ("ERROR", "FATAL"))]


def test_every_argument_is_described():
    source = PythonLaunchDescriptionSource(str(share_folder() / "launch" / "detect.launch.py"))
    arguments = source.get_launch_description(LaunchContext()).get_launch_arguments()
    names = {argument.name for argument in arguments}
    assert {"source", "image_topic", "model", "score_threshold", "rviz", "params_file", "namespace"} <= names
    for argument in arguments:
        assert argument.default_value is not None, argument.name
        assert len(argument.description) > 20, argument.name
        assert "no description" not in argument.description.lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["source:=teapot"], ["source: found 'teapot'", "file:", "webcam:"]),
        (["rviz:=true"], ["rviz2", "apt install"]),
        (["score_threshold:=high"], ["score_threshold: found 'high'", "expected a number"]),
        (["source:=demo", "detector_name:=camera"], ["detector_name: found 'camera'", "composed:=false"]),
        (["modle:=x"], ["modle: detect.launch.py has no such argument, did you mean model?"]),
    ],
    ids=["source", "rviz", "number", "name", "unknown"],
)
def test_a_wrong_argument_ends_with_one_line(start_launch, arguments, said):
    process = start_launch(*arguments)
    assert process.wait() == 1
    [line] = errors(process.log)
    assert all(text in line for text in said)
    assert "process started" not in process.log


def test_arguments_of_a_launch_file_around_ours_are_its_own(monkeypatch, tmp_path):
    detect = share_folder() / "launch" / "detect.launch.py"
    (tmp_path / detect.name).touch()
    for theirs in (["bringup.launch.py"], ["their_robot", detect.name], [str(tmp_path / detect.name)]):
        monkeypatch.setattr(sys, "argv", ["ros2", "launch", *theirs, "robot:=7"])
        assert len(processes(detect, {"robot": "7"})) == 1
    for ours in (["trt_ssd_ros", detect.name], [str(detect)]):
        monkeypatch.setattr(sys, "argv", ["ros2", "launch", *ours, "robot:=7"])
        with pytest.raises(ValueError, match=r"robot: detect.launch.py has no such argument, expected one of "):
            processes(detect, {"robot": "7"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["source:=file:/no/such/photo.jpg"], ["/no/such/photo.jpg does not exist"]),
        (["model:=no_such_model"], ["no_such_model", "ssd_mobilenet_v2_oidv4"]),
    ],
    ids=["source", "model"],
)
def test_a_node_that_fails_ends_the_launch(start_launch, arguments, said):
    process = start_launch(*arguments)
    process.wait()
    fatal = [line for line in process.log.splitlines() if "[FATAL]" in line]
    assert len(fatal) == 1
    assert all(text in fatal[0] for text in said)
    failed = fatal[0].partition(" ")[0]
    assert not [line for line in process.log.splitlines() if line.startswith(failed) and line != fatal[0]]


def test_arguments_reach_the_nodes_as_they_are(start_launch, probe, tmp_path):
    folder = tmp_path / "photos #1"
    folder.mkdir()
    shutil.copy(share_folder() / "photos" / "chelsea.jpg", folder)
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/detector: {ros__parameters: {max_detections: 7}}")
    name = ["detector_name:=eyes", f"params_file:={mine}"]
    given = [f"source:=file:{folder}", "score_threshold:=1", "image_topic:=/front/image", *name]
    process = start_launch(*given, "composed:=false")
    probe.spin_until(lambda: "publishing" in process.log or not process.running, "the camera")
    assert not errors(process.log)
    assert probe.get_parameter("source", "camera") == f"file:{folder}"
    assert probe.get_parameter("score_threshold", "eyes") == 1.0
    assert f"params_file: found no parameters of /eyes in {mine}: give them under /**/eyes" in process.log
    names = ("/front/image", "/front/camera_info")
    probe.spin_until(lambda: all(probe.node.count_publishers(name) for name in names), "the camera's topics")
    probe.spin_until(lambda: probe.node.count_subscribers("/front/image"), "the detector's subscription")
