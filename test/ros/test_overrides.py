"""Parameters that are given at the start and that no node has: what is refused, warned of, and left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from node_process import NodeProcess
from ros_fixtures import MODULES, StartProcess

from trt_ssd_ros.ros.overrides import Override, overrides, unknown

pytestmark = pytest.mark.ros

Start = Callable[..., NodeProcess]
NAMES = ("score_threshold", "model", "debug_image")


@pytest.fixture
def started(start_process: StartProcess, tmp_path: Path) -> Start:
    """Start a node with a parameter file, {node: parameters}, and arguments of ROS."""

    def start(name: str, file: dict[str, dict[str, object]], *arguments: str) -> NodeProcess:
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump({node: {"ros__parameters": values} for node, values in file.items()}))
        given = ["--ros-args", "--params-file", str(path), *arguments]
        return start_process([sys.executable, "-m", MODULES[name], *given])

    return start


@pytest.mark.parametrize(
    ("file", "arguments", "told"),
    [
        ({"detector": {"scor_threshold": 0.4}}, (), "robot.yaml): did you mean score_threshold"),
        ({"detector": {"xyz": 0.4}}, (), "xyz is no parameter of /detector (/detector in"),
        ({"/**/detector": {"scor_threshold": 0.4}}, (), "did you mean score_threshold"),
        (
            {"/**": {"model": "x"}},
            ("-p", "scor_threshold:=0.4"),
            "-p scor_threshold:=0.4): did you mean score_thr",
        ),
        ({"/**": {"model": "x"}}, ("-p", "detector:xyz:=0.4"), "xyz is no parameter of /detector"),
    ],
)
def test_an_unknown_parameter_under_the_node_s_name_is_refused(started, file, arguments, told):
    file = {"/**": {"model": "ssdlite_mobilenet_v2_coco", "backend": "onnxruntime"}} | {
        node: values for node, values in file.items() if node != "/**"
    }
    process = started("detector_node", file, *arguments)
    assert process.wait() == 1
    assert told in process.log
    assert "FATAL" in process.log
    assert "Traceback" not in process.log
    assert "waiting for images" not in process.log


def test_the_camera_refuses_before_it_opens_its_source(started):
    process = started("camera_node", {"camera": {"sorce": "demo"}})
    assert process.wait() == 1
    assert "sorce is no parameter of /camera" in process.log
    assert "did you mean source?" in process.log
    assert "publishing" not in process.log


def test_parameters_of_other_nodes_are_left_alone_and_misspelt_ones_warned_of(started):
    others = {"use_sim_time": False, "robot_description": "<robot/>", "diagnostic_updater": {"period": 2.0}}
    ours = {"model": "ssdlite_mobilenet_v2_coco", "backend": "onnxruntime", "scor_threshold": 0.4}
    overridden = {"qos_overrides": {"/image": {"subscription": {"reliability": "reliable"}}}}
    process = started("detector_node", {"/**": others | ours, "detector": overridden, "planner": {"modell": 1}})
    process.wait_until_it_says("waiting for images")
    warned = [line for line in process.log.splitlines() if "is no parameter" in line]
    assert len(warned) == 1, process.log
    assert "[WARN]" in warned[0]
    assert "ignored: scor_threshold is no parameter of /detector (/** in" in warned[0]
    assert "did you mean score_threshold" in warned[0]


def test_a_value_for_every_process_is_only_refused_if_it_may_be_misspelt():
    """SetParameter of a launch file is a `-p` of each of its nodes."""
    errors, warnings = unknown(["node", "--ros-args", "-p", "robot_name:=r2"], "/detector", [], NAMES)
    assert (errors, warnings) == ([], ["robot_name is no parameter of /detector (-p robot_name:=r2)"])
    assert unknown(["node", "-p", "modl:=1", "--ros-args", "--", "-p", "modl:=1"], "/detector", [], NAMES) == (
        [],
        [],
    )


def test_keys_of_another_driver_of_the_same_name_do_not_end_the_camera():
    override = ["node", "--ros-args", "-p", "/**/camera:video_device:=/dev/video0"]
    assert unknown(override, "/camera", [], ["source", "rate"])[0] == []


@pytest.mark.parametrize(
    ("pattern", "node", "matches"),
    [
        ("/**", "/robot/detector", True),
        ("/**/detector", "/detector", True),
        ("/*/detector", "/robot/detector", True),
        ("/*", "/robot/detector", False),
        ("/detector", "/robot/detector", False),
        ("", "/robot/detector", True),
        ("/**/detect(or", "/detector", False),
        ("/detect.r", "/detector", False),
    ],
)
def test_a_pattern_is_for_the_nodes_that_rcl_gives_its_values_to(pattern, node, matches):
    assert Override("model", pattern, "").is_for(node) is matches


def test_nested_namespaces_and_parameters_are_joined(tmp_path):
    path = tmp_path / "nested.yaml"
    path.write_text(
        "robot:\n  detector:\n    ros__parameters:\n      diagnostics: {on: 1, warn_latency: !odd [2]}\n"
    )
    found = [(each.name, each.node) for each in overrides(["node", "--ros-args", "--params-file", str(path)])]
    assert found == [("diagnostics.on", "/robot/detector"), ("diagnostics.warn_latency", "/robot/detector")]
