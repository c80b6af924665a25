"""Launch arguments `depth`, `depth_info` and `target_frame`: a locator for each depth camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from launch_visit import processes, remappings, settings
from stand_ins import StandIn

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.calibration import names_rectified
from trt_ssd_ros.launching.exits import Respawn

pytestmark = pytest.mark.ros

DETECT = share_folder() / "launch" / "detect.launch.py"
DEPTH = "/camera/depth/image_rect_raw"
RIG = "front=topic:/f/image_raw rear=topic:rear/image_rect"


def locators(**arguments: str) -> list[Any]:
    """The locators that a launch would start."""
    return [node for node in processes(DETECT, arguments) if node.node_executable == "locator_node"]


def test_there_is_no_locator_without_depth():
    assert locators() == []


def test_the_locator_gets_the_topics_of_the_launch():
    [node] = locators(image_topic="/camera/color/image_raw", depth=DEPTH)
    assert settings(node) == {}
    assert remappings(node) == {
        "detections": "/detections",
        "camera_info": "/camera/color/camera_info",
        "depth/image": DEPTH,
        "depth/camera_info": "/camera/depth/camera_info",
    }


def test_names_are_relative_to_the_namespace_and_follow_the_arguments():
    [node] = locators(
        namespace="robot",
        image_topic="image_rect_color",
        depth="depth/image",
        depth_info="/d/info",
        target_frame="map",
        remap="detections:=objects",
        on_exit="respawn",
    )
    assert (node._Node__node_name, node.node_package) == ("locator", "trt_ssd_ros")
    assert settings(node) == {"target_frame": "map", "rectified": True}
    assert isinstance(node._ExecuteLocal__on_exit, Respawn)
    assert remappings(node) == {
        "detections": "/robot/objects",
        "camera_info": "/robot/camera_info",
        "depth/image": "/robot/depth/image",
        "depth/camera_info": "/d/info",
    }
    assert node.expanded_node_namespace == "/robot"


def test_the_camera_info_of_compressed_images_is_beside_the_raw_topic():
    [node] = locators(image_topic="/camera/image_rect/compressed", depth=DEPTH)
    assert remappings(node)["camera_info"] == "/camera/camera_info"
    assert settings(node) == {"rectified": True}


def test_names_of_the_detector_alone_are_resolved():
    names = {
        "namespace": "robot",
        "detector_name": "eyes",
        "image_topic": "~/image",
        "remap": "detections:=~/found",
    }
    [node] = locators(depth=DEPTH, **names)
    assert remappings(node)["detections"] == "/robot/eyes/found"
    assert remappings(node)["camera_info"] == "/robot/eyes/camera_info"


def test_each_camera_with_depth_has_a_locator_in_its_namespace():
    nodes = locators(cameras=RIG, depth=f"rear=/r/depth front={DEPTH}", depth_info="rear=/r/info")
    found = [(remappings(node), node.expanded_node_namespace, settings(node)) for node in nodes]
    assert [namespace for _, namespace, _ in found] == ["/front", "/rear"]
    assert [values for _, _, values in found] == [{}, {"rectified": True}]
    assert [topics["detections"] for topics, _, _ in found] == ["/front/detections", "/rear/detections"]
    assert [topics["camera_info"] for topics, _, _ in found] == ["/f/camera_info", "/rear/camera_info"]
    assert [topics["depth/camera_info"] for topics, _, _ in found] == ["/camera/depth/camera_info", "/r/info"]
    assert len(locators(cameras=RIG, depth=f"front={DEPTH}")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"depth": "/a/9"}, "depth: found '/a/9', expected the name of a topic, e.g. /camera/depth"),
        ({"depth": "/a /b"}, "depth: found '/b', expected the name of one topic"),
        ({"depth": "front=/a"}, "depth: found 'front=/a', expected the name of one topic, e.g. depth:=/camera"),
        ({"depth": "~/a"}, "depth: found '~/a', expected the name of a topic"),
        ({"depth": "/a", "cameras": RIG}, "depth: found '/a', expected NAME=TOPIC, once for each of front, rear"),
        ({"depth": "side=/a", "cameras": RIG}, "depth: found 'side=/a', expected NAME=TOPIC"),
        ({"depth": "rear=/a rear=/b", "cameras": RIG}, "depth: found 'rear=/b', expected NAME=TOPIC, once for"),
        ({"depth_info": "/a"}, "depth_info: found '/a' without depth, expected depth:=TOPIC beside it"),
        ({"target_frame": "map"}, "target_frame: found 'map' without depth"),
        ({"depth": "/a", "detector_name": "locator"}, "detector_name: found 'locator', the name of the locator"),
        (
            {"depth": "front=/a", "depth_info": "rear=/b", "cameras": RIG},
            "depth_info: found rear=/b, expected rear=TOPIC in depth, too",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=r"^(depth|target_frame|detector_name)") as caught:
        processes(DETECT, arguments)
    assert said in str(caught.value)


def shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **arguments: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """The layout and the remappings of rviz2."""
    StandIn("rviz2", "rviz2", "rviz", {}).install(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=":")
    viewer = processes(DETECT, {"rviz": "true", **arguments})[-1]
    renamed = remappings(viewer)
    path = ["".join(getattr(part, "text", "") for part in word) for word in viewer.cmd][2]
    return yaml.safe_load(Path(path).read_text())["Visualization Manager"], renamed


def test_rviz_shows_the_objects_in_space(tmp_path, monkeypatch):
    manager, renamed = shown(tmp_path, monkeypatch, depth=DEPTH, target_frame="/map")
    topics = {display["Topic"]["Value"] for display in manager["Displays"] if "Topic" in display}
    assert topics == set(renamed) == {"/debug_image", "/markers", "/obstacles", "/locator/target"}
    assert manager["Global Options"]["Fixed Frame"] == "map"


def test_rviz_shows_the_objects_of_the_cameras_that_have_depth(tmp_path, monkeypatch):
    manager, renamed = shown(tmp_path, monkeypatch, cameras=RIG, depth=f"rear={DEPTH}")
    topics = [display["Topic"]["Value"] for display in manager["Displays"] if "Topic" in display]
    assert set(topics) == set(renamed)
    rear = ["/rear/markers", "/rear/obstacles", "/rear/locator/target"]
    assert topics == ["/front/debug_image", "/rear/debug_image", *rear]
    assert {"Grid", "Frames", "rear objects"} <= {display["Name"] for display in manager["Displays"]}


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("", False),
        ("/rect/image_raw", False),
        ("/image_direct", False),
        (DEPTH, True),
        ("image_rect", True),
        ("a/image_rectified", True),
        ("/a/image_rect_color/compressed", True),
        ("/rect/image_raw/compressed", False),
    ],
)
def test_rectified_images_are_known_by_the_name_of_the_topic(topic, rectified):
    assert names_rectified(topic) is rectified
