"""The arguments of the cameras' launch files, right and wrong ones, and drivers that are not installed."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import pytest
import rclpy
from launch import LaunchContext
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_visit import processes, remappings, settings
from rclpy.context import Context
from rclpy.node import Node
from stand_ins import STAND_INS, StandIn

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.launching.exits import Respawn, end_if_failed

pytestmark = pytest.mark.ros

LAUNCH = share_folder() / "launch"
DETECT = LAUNCH / "detect.launch.py"
CAMERAS = sorted((LAUNCH / "cameras").glob("*.launch.py"))
DRIVERS = [stand_in.package for stand_in in STAND_INS]
SHARED = {"width", "height", "fps", "device", "pipeline", "namespace", "frame_id", "calibration"}
SHARED |= {"params_file", "log_level", "on_exit", "respawn"}


@pytest.mark.parametrize("path", [DETECT, *CAMERAS], ids=lambda path: path.name)
def test_every_argument_is_described_with_its_choices(path):
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(arguments) >= SHARED
    for argument in arguments.values():
        assert argument.default_value is not None, argument.name
        assert len(argument.description) > 20, argument.name
    assert "Valid choices" in arguments["log_level"].description
    assert "Valid choices" in arguments["on_exit"].description


def test_the_sources_are_listed():
    description = PythonLaunchDescriptionSource(str(DETECT)).get_launch_description(LaunchContext())
    [source] = [a for a in description.get_launch_arguments() if a.name == "source"]
    assert {path.name.partition(".")[0] for path in CAMERAS} == {"camera", "rosbag2", *DRIVERS}
    assert all(name in source.description for name in [*DRIVERS, "bag:", "file:", "webcam:", "rtsp://", "demo"])


@pytest.mark.parametrize("source", [*DRIVERS, "bag:/some/bag"])
def test_a_driver_that_is_not_installed_is_named_with_its_cure(monkeypatch, source):
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    with pytest.raises(RuntimeError) as refused:
        processes(DETECT, {"source": source})
    said = str(refused.value)
    package = "ros2bag" if source.startswith("bag:") else source
    install = {"ros2bag": "ros-kilted-rosbag2", "zed_wrapper": "github.com/stereolabs/zed-ros2-wrapper"}
    assert "\n" not in said
    assert f"the package {package} is not installed" in said
    assert install.get(package, f"sudo apt install ros-kilted-{package.replace('_', '-')}") in said
    instead = "detect BAG` reads bags without it" if package == "ros2bag" else "source:=webcam:0 needs no driver"
    assert instead in said


WRONG = [
    (
        {"source": "photos/coffee.jpg"},
        ["found 'photos/coffee.jpg' (did you mean file:photos/coffee.jpg?), expected topic"],
    ),
    ({"source": "usbcam"}, ["found 'usbcam' (did you mean usb_cam", "expected topic, demo", "zed_wrapper"]),
    ({"source": "usb_cam", "width": "wide"}, ["width: found 'wide', expected whole pixels"]),
    ({"source": "usb_cam", "height": "0"}, ["height: found '0'"]),
    ({"source": "usb_cam", "fps": "fast"}, ["fps: found 'fast', expected a number"]),
    ({"source": "usb_cam", "fps": "-1"}, ["fps: found '-1', expected more than 0"]),
    ({"source": "usb_cam", "calibration": "/no/such.yaml"}, ["calibration: found no file /no/such.yaml"]),
    ({"source": "usb_cam", "params_file": "/no/such.yaml"}, ["params_file: found no file /no/such.yaml"]),
    ({"source": "usb_cam:/dev/video1", "device": "/dev/video2"}, ["device: found '/dev/video2' beside"]),
    ({"source": "usb_cam", "pipeline": "csi"}, ["pipeline: usb_cam does not take it, only device, width"]),
    ({"source": "v4l2_camera", "fps": "30"}, ["fps: v4l2_camera does not take it", "params_file"]),
    ({"source": "v4l2_camera", "width": "640"}, ["width and height: found one of them"]),
    ({"source": "realsense2_camera", "width": "640", "height": "480"}, ["expected all or none"]),
    ({"source": "realsense2_camera", "frame_id": "front"}, ["frame_id: realsense2_camera does not take it"]),
    ({"source": "zed_wrapper", "width": "640"}, ["width: zed_wrapper does not take it, only device"]),
    ({"source": "depthai_ros_driver", "loop": "true"}, ["loop: depthai_ros_driver does not take it"]),
    ({"source": "image_publisher"}, ["device: image_publisher needs a file"]),
    ({"source": "gscam", "pipeline": "usb"}, ["found 'usb', expected csi, rtsp, rtsp_hardware, v4l2"]),
    ({"source": "gscam", "pipeline": "rtsp"}, ["device: pipeline:=rtsp needs the address of a stream"]),
    (
        {"source": "gscam", "pipeline": "rtsp", "device": "rtsp://a", "width": "9"},
        ["width: gscam does not take it"],
    ),
    ({"source": "demo", "device": "0"}, ["device: trt_ssd_ros does not take it"]),
    (
        {"source": "demo", "pipeline": "a ! b"},
        ["pipeline: found a pipeline with source:=demo, expected source:=gstreamer"],
    ),
    ({"source": "usb_cam", "wait_for_source": "false"}, ["wait_for_source: usb_cam does not take it"]),
    ({"remap": "detection:=x"}, ["remap: found 'detection:=x', expected TOPIC:=NAME with one of", "detections"]),
    ({"remap": "detections:=x debug_image"}, ["remap: found 'debug_image', expected TOPIC:=NAME"]),
    (
        {"remap": "detections:=a:=b"},
        ["found 'detections:=a:=b', expected the name of a topic behind detections:="],
    ),
    ({"remap": "debug_image:=9x"}, ["found 'debug_image:=9x', expected the name of a topic behind debug_image:="]),
    (
        {"remap": "detections:=/a detections:=~/b"},
        ["found 'detections:=~/b' beside detections:=/a, expected only"],
    ),
    ({"detector_name": "my detector"}, ["detector_name: found 'my detector', expected letters"]),
    ({"source": "bag:/no/such/bag"}, ["bag: found no metadata.yaml in '/no/such/bag'"]),
    ({"source": "usb_cam", "log_level": "loud"}, ["log_level", "debug", "warn"]),
    ({"source": "usb_cam", "on_exit": "restart"}, ["on_exit", "shutdown", "respawn", "ignore"]),
    (
        {"respawn": "true", "on_exit": "ignore"},
        ["respawn: found 'true' beside on_exit:=ignore, expected only on_"],
    ),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: "-".join(map(str, value))[:40])
@pytest.mark.usefixtures("drivers")
def test_a_wrong_value_names_the_right_ones(arguments, said):
    with pytest.raises((RuntimeError, ValueError)) as refused:
        processes(DETECT, arguments)
    assert all(text in str(refused.value) for text in said), refused.value


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": "rtsp:/me:secret@camera/1"},
        {"source": "gscam:rtsp://me:secret@camera/1", "device": "rtsp://me:secret@camera/1"},
        {"source": "topic", "device": "rtsp://me:secret@camera/1"},
        {"source": "rtsp://me:secret@camera/1", "pipeline": "rtsp"},
        {"source": "gscam", "pipeline": "rtsp://me:secret@camera/1"},
    ],
    ids=["unknown", "beside", "topic", "pipeline", "gscam"],
)
@pytest.mark.usefixtures("drivers")
def test_a_password_is_not_shown(arguments):
    with pytest.raises(ValueError, match=r":/{1,2}camera/1'?") as refused:
        processes(DETECT, arguments)
    assert "secret" not in str(refused.value)


XML = """
<launch>
  <include file="{detect}">
    <arg name="source" value="usb_cam:/dev/video7"/>
    <arg name="namespace" value="robot"/>
  </include>
  <include file="{camera}">
    <arg name="device" value="/dev/video8"/>
  </include>
</launch>
"""


@pytest.mark.usefixtures("drivers")
def test_xml_can_include_them(tmp_path):
    path = tmp_path / "robot.launch.xml"
    path.write_text(XML.format(detect=DETECT, camera=LAUNCH / "cameras" / "v4l2_camera.launch.py"))
    camera, detector, second = processes(path, {})
    assert [p.node_package for p in (camera, detector, second)] == ["usb_cam", "trt_ssd_ros", "v4l2_camera"]


@pytest.mark.usefixtures("drivers")
def test_two_includes_do_not_meet(tmp_path):
    include = f"""<include file="{DETECT}"><arg name="source" value="usb_cam:/dev/video%d"/></include>"""
    path = tmp_path / "robot.launch.xml"
    path.write_text(f"<launch>{include % 0}{include % 2}</launch>")
    assert [p.node_package for p in processes(path, {})] == ["usb_cam", "trt_ssd_ros"] * 2


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize(
    ("own", "logger"), [("", "robot.detector"), ("arm", "robot.arm.detector"), ("/arm", "arm.detector")]
)
def test_a_namespace_around_it_counts(tmp_path, own, logger):
    include = f"""<include file="{DETECT}"><arg name="namespace" value="{own}"/></include>"""
    path = tmp_path / "robot.launch.xml"
    path.write_text(f"""<launch><group><push_ros_namespace namespace="robot"/>{include}</group></launch>""")
    [detector] = processes(path, {})
    words = ["".join(getattr(part, "text", "") for part in word) for word in detector.cmd]
    assert f"{logger}:=info" in words


@pytest.mark.usefixtures("drivers")
def test_the_device_of_a_driver_may_be_an_address():
    camera, _ = processes(DETECT, {"source": "gscam:rtsp://10.0.0.8/stream"})
    assert camera.node_package == "gscam"


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("/**/detector: {ros__parameters: {max_detections: 7}}")
    detector, *_ = processes(DETECT, {"params_file": "~/mine.yaml"})
    detector._perform_substitutions(LaunchContext())
    assert str(tmp_path / "mine.yaml") in [file for file, _ in detector._Node__expanded_parameter_arguments]


@pytest.mark.parametrize("ending", [True, False])
def test_what_a_driver_returns_counts_until_the_launch_ends(ending):
    context = LaunchContext()
    context._set_is_shutdown(ending)
    event = ProcessExited(action=None, name="driver", cmd=[], cwd=None, env=None, pid=1, returncode=-11)
    with nullcontext() if ending else pytest.raises(RuntimeError, match=r"driver failed \(exit code -11\)"):
        end_if_failed(event, context)


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize(
    ("arguments", "restarted", "ignored"),
    [
        ({"on_exit": "shutdown"}, False, False),
        ({"on_exit": "respawn"}, True, False),
        ({"on_exit": "ignore"}, False, True),
        ({"respawn": "true"}, True, False),
        ({"respawn": "false"}, False, False),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_the_end_of_a_driver_is_handled_as_that_of_the_detector(arguments, restarted, ignored):
    for process in processes(DETECT, {"source": "usb_cam", **arguments}):
        handler = process._ExecuteLocal__on_exit
        assert (isinstance(handler, Respawn), handler is None) == (restarted, ignored)


@pytest.mark.usefixtures("drivers")
def test_the_end_of_each_driver_is_handled_but_of_those_with_a_launch_file_of_their_own():
    for driver in DRIVERS:
        source = f"{driver}:/a.jpg" if driver == "image_publisher" else driver
        camera, _ = processes(DETECT, {"source": source, "on_exit": "respawn"})
        included = driver in ("depthai_ros_driver", "zed_wrapper")
        assert isinstance(camera._ExecuteLocal__on_exit, Respawn) is not included, driver


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize("driver", ["usb_cam", "v4l2_camera", "camera_ros", "gscam", "image_publisher", "camera"])
def test_cameras_of_two_namespaces_have_frames_of_their_own(driver, tmp_path):
    parameter = "camera_frame_id" if driver == "v4l2_camera" else "frame_id"
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"/**/camera: {{ros__parameters: {{{parameter}: mine}}}}")
    for arguments, frame in [
        ({}, "camera"),
        ({"namespace": "front"}, "front/camera"),
        ({"namespace": "/front/left"}, "front/left/camera"),
        ({"namespace": "front", "frame_id": "nose"}, "nose"),
        ({"namespace": "front", "params_file": str(mine)}, None),
        ({"frame_id": "nose", "params_file": str(mine)}, "nose"),
    ]:
        path = LAUNCH / "cameras" / f"{driver}.launch.py"
        device = {} if driver == "camera" else {"device": "/a"}
        [camera] = processes(path, {**device, **arguments})
        assert settings(camera).get(parameter) == frame, arguments


@pytest.mark.parametrize(("remap", "shown"), [("", "debug_image"), ("debug_image:=view", "view")])
def test_rviz_shows_the_renamed_debug_image(tmp_path, monkeypatch, remap, shown):
    StandIn("rviz2", "rviz2", "rviz", {}).install(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=":")
    _, rviz = processes(DETECT, {"rviz": "true", "remap": remap})
    assert remappings(rviz) == {"/debug_image": shown}


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize("path", [DETECT, LAUNCH / "cameras" / "usb_cam.launch.py"], ids=lambda path: path.name)
def test_without_on_exit_only_a_launch_of_its_own_ends(monkeypatch, path):
    for words, ignored in [(["my_robot", "bringup.launch.py"], True), (["trt_ssd_ros", path.name], False)]:
        monkeypatch.setattr(sys, "argv", ["ros2", "launch", *words])
        for process in processes(path, {"source": "usb_cam"} if path == DETECT else {}):
            assert (process._ExecuteLocal__on_exit is None) is ignored


def test_a_driver_alone_needs_no_detector(drivers):  # noqa: ARG001
    for path in CAMERAS:
        device: dict[str, Any] = {"device": "/a.jpg"} if path.name.startswith("image_publisher") else {}
        if not path.name.startswith("rosbag2"):
            [camera] = processes(path, device)
            assert camera.node_package in ("trt_ssd_ros", *DRIVERS)


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize(
    "frame", ["1e3", "-2E5", "nan", "Infinity", "0x1p3", "7", "0x10", "1.5", "on", "a: b", "1e3d"]
)
@pytest.mark.parametrize("source", ["demo", "usb_cam"])
def test_a_frame_that_looks_like_a_number_stays_a_string(source, frame):
    """As rcl reads the file of the node's parameters."""
    node = processes(DETECT, {"source": source, "frame_id": frame})[0]
    node._perform_substitutions(LaunchContext())
    files = [path for path, is_file in node._Node__expanded_parameter_arguments if is_file]
    context = Context()
    rclpy.init(args=["--ros-args", "--params-file", files[-1]], context=context)
    camera = Node("camera", context=context, automatically_declare_parameters_from_overrides=True)
    try:
        assert camera.get_parameter("frame_id").value == frame
    finally:
        camera.destroy_node()
        context.try_shutdown()
