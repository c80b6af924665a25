"""The settings for rviz2 and Foxglove show what the detector node publishes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from launch_visit import processes
from rclpy.qos import QoSReliabilityPolicy
from stand_ins import StandIn

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.ros.transport import RESULTS

pytestmark = pytest.mark.ros

CONFIG = share_folder() / "config"


def test_rviz_asks_for_what_debug_image_offers():
    [display] = yaml.safe_load((CONFIG / "detect.rviz").read_text())["Visualization Manager"]["Displays"]
    topic = display["Topic"]
    assert (display["Class"], topic["Value"], display["Enabled"]) == (
        "rviz_default_plugins/Image",
        "/debug_image",
        True,
    )
    asked = QoSReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")]
    assert asked == RESULTS.reliability
    assert topic["Durability Policy"] == "Volatile"


def test_rviz_is_started_with_it(tmp_path, monkeypatch):
    StandIn("rviz2", "rviz2", "rviz", {}).install(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=":")
    _, viewer = processes(share_folder() / "launch" / "detect.launch.py", {"rviz": "true", "namespace": "robot"})
    assert viewer.node_package == "rviz2"
    assert str(CONFIG / "detect.rviz") in [word[0].text for word in viewer.cmd if hasattr(word[0], "text")]


def test_the_panels_of_foxglove_are_all_laid_out():
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    panels = layout["configById"]
    assert panels_of(layout["layout"]) == set(panels)
    assert panels["Image!detections"]["imageMode"]["imageTopic"] == "/debug_image/compressed"
    assert panels["DiagnosticSummary!health"]["topicToRender"] == "/diagnostics"


def panels_of(place: Any) -> set[str]:
    """The panels in a part of a layout."""
    return {place} if isinstance(place, str) else panels_of(place["first"]) | panels_of(place["second"])
