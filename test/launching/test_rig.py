"""Launch argument `cameras`: one detector with several cameras, from its words to running nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from launch import LaunchContext
from launch_visit import processes, remappings, settings
from probe import BEST_EFFORT, Probe
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from stand_ins import StandIn
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.launching.exits import Respawn
from trt_ssd_ros.launching.rig import parse_cameras
from trt_ssd_ros.launching.rviz import LAYOUT, camera_layout
from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros

DETECT = share_folder() / "launch" / "detect.launch.py"
EXAMPLE = share_folder() / "config" / "cameras.yaml"
MIXED = "front=usb_cam:/dev/video2 rear=demo side=topic:/cam3/image_raw"


def words(process: Any) -> list[str]:
    """The fixed words of a command line."""
    return ["".join(getattr(part, "text", "") for part in word) for word in process.cmd]


def written(process: Any) -> dict[str, dict[str, Any]]:
    """The parameters that a composed process gets, by the full names of its nodes."""
    process._perform_substitutions(LaunchContext())
    path = process._Node__expanded_parameter_arguments[-1][0]
    return {node: values["ros__parameters"] for node, values in yaml.safe_load(Path(path).read_text()).items()}


def test_the_words_are_split_as_in_a_shell_and_at_the_first_equals_sign():
    cameras = parse_cameras(
        """front='file:/a b/c.mp4'  rear=rtsp://10.0.0.8/s?id=3 "side=topic:cam3/image_raw" """
    )
    assert [(camera.name, camera.source.text, camera.topic) for camera in cameras] == [
        ("front", "file:/a b/c.mp4", "front/image_raw"),
        ("rear", "rtsp://10.0.0.8/s?id=3", "rear/image_raw"),
        ("side", "topic:cam3/image_raw", "cam3/image_raw"),
    ]


WRONG = [
    ({"cameras": "front"}, "cameras: found 'front' without a source, expected NAME=SOURCE, e.g. front="),
    ({"cameras": "front="}, "cameras: found 'front' without a source"),
    ({"cameras": "front='demo"}, "cameras: found a quotation mark without its end in 'front='demo'"),
    ({"cameras": "2nd=demo"}, "cameras: found '2nd', expected letters, digits and single _"),
    ({"cameras": "rtsp://me:secret@b/?x=1"}, "cameras: found 'rtsp://b/?x', expected letters"),
    ({"cameras": "a__b=demo"}, "cameras: found 'a__b', expected letters, digits and single _"),
    ({"cameras": "a=topic:/b__c"}, "cameras: found a=topic:/b__c, expected the name of a topic"),
    ({"cameras": "a=demo", "detector_name": "a__b"}, "detector_name: found 'a__b', expected letters"),
    ({"cameras": "a=demo a=usb_cam"}, "cameras: found 'a' twice, expected different names"),
    ({"cameras": "a=usbcam"}, "cameras: a: found 'usbcam' (did you mean usb_cam"),
    ({"cameras": "a=rtsp:/me:secret@b"}, "cameras: a: found 'rtsp:/b', expected topic, demo"),
    ({"cameras": "a=topic"}, "cameras: found a=topic, expected the name of a topic, e.g. a=topic:/cam3/image_raw"),
    ({"cameras": "a=topic:/9"}, "cameras: found a=topic:/9, expected the name of a topic"),
    (
        {"cameras": "a=bag:/b"},
        "cameras: found a=bag:/b, but the clock of a bag holds for all cameras: play it with",
    ),
    (
        {"cameras": "'a=gstreamer:x ! y'"},
        "cameras: found a pipeline for a, expected a=gstreamer, and in params_file",
    ),
    ({"cameras": "a=gstreamer"}, "pipeline: found none for /a/camera, expected `source: gstreamer:PIPELINE` in"),
    ({"cameras": "a=demo", "source": "demo"}, "source: found 'demo' beside cameras, expected only one of them"),
    (
        {"cameras": "a=demo", "image_topic": "/b"},
        "image_topic: found '/b' beside cameras, expected NAME=topic:TOPIC",
    ),
    ({"cameras": "a=usb_cam", "device": "/b"}, "device: found '/b' beside cameras, expected NAME=DRIVER:DEVICE"),
    ({"cameras": "a=demo", "pipeline": "b"}, "pipeline: found 'b' beside cameras, expected NAME=gstreamer"),
    ({"cameras": "a=demo", "frame_id": "b"}, "frame_id: found 'b' beside cameras, expected it in params_file"),
    (
        {"cameras": "a=demo", "calibration": "b"},
        "calibration: found 'b' beside cameras, expected it in params_file",
    ),
    (
        {"cameras": "a=topic:/b", "width": "9"},
        "width: found '9' with topics only in cameras, expected a source that",
    ),
    (
        {"cameras": "a=usb_cam", "loop": "true"},
        "loop: found 'true' with drivers and topics in cameras, expected it",
    ),
    ({"cameras": "a=demo b=v4l2_camera", "fps": "9"}, "fps: v4l2_camera does not take it, only device, width"),
    (
        {"cameras": "a=usb_cam", "composed": "true"},
        "composed: found 'true' with cameras:=usb_cam, expected a source",
    ),
    (
        {"cameras": "a=demo", "detector_name": "camera"},
        "detector_name: found 'camera', the name of the camera node",
    ),
    (
        {"cameras": "a=demo", "remap": "detections:=x"},
        "expected TOPIC:=NAME with one of a/annotations, a/debug_image",
    ),
    ({"source": "topic:/a"}, "source: found 'topic:/a', expected image_topic:=/a"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: "-".join(map(str, value))[:40])
@pytest.mark.usefixtures("drivers")
def test_a_wrong_argument_is_refused(arguments, said):
    with pytest.raises(ValueError, match=r"^[a-z_]+: ") as refused:
        processes(DETECT, arguments)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("drivers")
def test_our_own_cameras_run_in_the_process_of_the_detector(tmp_path):
    rig = "a=demo b=usb_cam:12 c=webcam:0 d=topic:t"
    path = tmp_path / "robot.launch.xml"
    given = {"cameras": rig, "namespace": "arm", "loop": "false", "fps": "9", "on_exit": "respawn"}
    words_of_xml = "".join(f'<arg name="{name}" value="{value}"/>' for name, value in given.items())
    include = f'<push_ros_namespace namespace="robot"/><include file="{DETECT}">{words_of_xml}</include>'
    path.write_text(f"<launch><group>{include}</group></launch>")
    driver, process = processes(path, {})
    assert all(isinstance(started._ExecuteLocal__on_exit, Respawn) for started in (driver, process))
    assert words(process)[1:3] == ["a", "c"]
    values, around = written(process), "robot/arm"
    assert values[f"/{around}/detector"]["cameras"] == ["a", "b", "c", "d"]
    assert values[f"/{around}/a/camera"] == {
        "source": "demo",
        "rate": 9.0,
        "loop": False,
        "frame_id": f"{around}/a/camera",
    }
    assert values[f"/{around}/c/camera"]["source"] == "webcam:0"
    levels = {f"robot.arm.{name}:=info" for name in ("detector", "a.camera", "c.camera")}
    assert levels <= set(words(process))
    assert settings(driver) == {"video_device": "12", "framerate": 9.0, "frame_id": f"{around}/b/camera"}
    assert "robot.arm.b.camera:=info" in words(driver)
    assert remappings(driver) == {"image_raw": "image_raw", "camera_info": "camera_info"}
    topics = {"a/image": "a/image_raw", "b/image": "b/image_raw", "c/image": "c/image_raw", "d/image": "t"}
    assert remappings(process) == {f"detector:{name}": topic for name, topic in topics.items()}


@pytest.mark.usefixtures("drivers")
def test_composed_false_starts_a_process_for_each_camera(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/b/camera: {ros__parameters: {source: 'gstreamer:videotestsrc ! appsink'}}")
    arguments = {"composed": "false", "params_file": str(mine), "remap": "a/detections:=seen label_info:=/names"}
    *cameras, detector = processes(DETECT, {"cameras": "a=file:/photo.jpg b=gstreamer", **arguments})
    assert [settings(camera) for camera in cameras] == [
        {"source": "file:/photo.jpg", "frame_id": "a/camera"},
        {"frame_id": "b/camera"},
    ]
    assert settings(detector)["cameras"] == ["a", "b"]
    assert remappings(detector) == {
        "a/image": "a/image_raw",
        "b/image": "b/image_raw",
        "a/detections": "seen",
        "label_info": "/names",
    }


def test_rviz_shows_a_panel_for_each_camera(tmp_path, monkeypatch):
    StandIn("rviz2", "rviz2", "rviz", {}).install(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=":")
    arguments = {"cameras": "a=topic:/a b=topic:/b", "rviz": "true", "remap": "b/debug_image:=view"}
    _, rviz = processes(DETECT, arguments)
    assert remappings(rviz) == {"/a/debug_image": "a/debug_image", "/b/debug_image": "view"}
    shown = yaml.safe_load(Path(words(rviz)[2]).read_text())
    assert shown == camera_layout(yaml.safe_load(LAYOUT.read_text()), ["a", "b"])
    displays = shown["Visualization Manager"]["Displays"]
    assert [(display["Name"], display["Topic"]["Value"]) for display in displays] == [
        ("a", "/a/debug_image"),
        ("b", "/b/debug_image"),
    ]
    assert {"a", "b", "Displays"} <= set(shown["Window Geometry"])


class Rig:
    """What the cameras of the mixed rig publish, and what the detector answers."""

    def __init__(self, probe: Probe, photo: Any) -> None:
        self.probe = probe
        names = ("front", "rear", "side")
        self.answers: dict[str, list[Detection2DArray]] = {
            name: probe.receive(Detection2DArray, f"/robot/{name}/detections", BEST_EFFORT) for name in names
        }
        self._side = probe.node.create_publisher(Image, "/cam3/image_raw", qos_profile_sensor_data)
        self._photo = photo("astronaut")

    def is_answered(self) -> bool:
        """Publish an image of the side; return whether each camera has some detections by now."""
        header = Header(stamp=self.probe.node.get_clock().now().to_msg(), frame_id="cam3")
        self._side.publish(image_to_msg(self._photo, "bgr", header))
        return self.probe.happens(lambda: all(len(found) > 2 for found in self.answers.values()), 0.3)

    def labels(self, camera: str) -> set[str]:
        """The classes that were found in the images of a camera."""
        found = (detection for answer in self.answers[camera] for detection in answer.detections)
        return {detection.results[0].hypothesis.class_id for detection in found}


@pytest.mark.usefixtures("drivers")
def test_a_driver_our_own_camera_and_a_topic_share_one_detector(probe, start_launch, photo):
    rig = Rig(probe, photo)
    process = start_launch(f"cameras:={MIXED}", f"params_file:={EXAMPLE}", "namespace:=robot")
    probe.spin_until(lambda: rig.is_answered() or not process.running, "detections of each camera", 60.0)
    frames = {name: {answer.header.frame_id for answer in found} for name, found in rig.answers.items()}
    assert frames == {"front": {"robot/front/camera"}, "rear": {"robot/rear/camera"}, "side": {"cam3"}}
    assert rig.labels("front") == {"cat"}
    assert rig.labels("side") == {"person"}
    assert process.log.count("process started") == 2
    assert "[ERROR]" not in process.log
    assert probe.get_parameter("front.roi", "robot/detector") == [0.0, 0.25, 1.0, 0.75]
    assert probe.get_parameter("rate", "robot/rear/camera") == 10.0
    assert probe.get_parameter("pixel_format", "robot/front/camera") == "mjpeg2rgb"
    subscribers = {name: probe.node.count_subscribers(f"/robot/{name}/image_raw") for name in ("front", "rear")}
    assert subscribers == {"front": 1, "rear": 0}
    images = probe.receive(Image, "/robot/rear/image_raw", BEST_EFFORT)
    probe.spin_until(lambda: images, "images of our own camera for another node")
    assert images[0].header.frame_id == "robot/rear/camera"
