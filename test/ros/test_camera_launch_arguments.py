"""The arguments of the cameras' launch files, right and wrong ones, and drivers that are not installed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_visit import command, processes
from stand_ins import STAND_INS, StandIn

from trt_ssd_ros.core.resources import share_folder

pytestmark = pytest.mark.ros

LAUNCH = share_folder() / "launch"
DETECT = LAUNCH / "detect.launch.py"
CAMERAS = sorted((LAUNCH / "cameras").glob("*.launch.py"))
DRIVERS = [stand_in.package for stand_in in STAND_INS]
SHARED = {"width", "height", "fps", "device", "pipeline", "namespace", "frame_id", "calibration"}
SHARED |= {"params_file", "log_level", "respawn"}


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All drivers, and rosbag2, are installed."""
    for stand_in in (*STAND_INS, StandIn("ros2bag", "none", "none", {})):
        stand_in.install(tmp_path / "drivers")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "drivers"), prepend=":")
    return tmp_path / "drivers"


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """The metadata of a bag with two cameras, one of them compressed."""
    types = {
        "/front/image_raw": "sensor_msgs/msg/Image",
        "/front/camera_info": "sensor_msgs/msg/CameraInfo",
        "/rear/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
        "/tf": "tf2_msgs/msg/TFMessage",
    }
    return write_bag(tmp_path / "bag", types)


def write_bag(folder: Path, types: dict[str, str]) -> Path:
    folder.mkdir()
    topics = [{"topic_metadata": {"name": name, "type": kind}} for name, kind in types.items()]
    information = {"rosbag2_bagfile_information": {"topics_with_message_count": topics}}
    (folder / "metadata.yaml").write_text(yaml.safe_dump(information))
    return folder


@pytest.mark.parametrize("path", [DETECT, *CAMERAS], ids=lambda path: path.name)
def test_every_argument_is_described_with_its_choices(path: Path) -> None:
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(arguments) >= SHARED
    for argument in arguments.values():
        assert argument.default_value is not None, argument.name
        assert len(argument.description) > 20, argument.name
    assert "Valid choices" in arguments["log_level"].description
    assert "Valid choices" in arguments["respawn"].description


def test_the_sources_are_listed() -> None:
    description = PythonLaunchDescriptionSource(str(DETECT)).get_launch_description(LaunchContext())
    [source] = [a for a in description.get_launch_arguments() if a.name == "source"]
    assert {path.name.partition(".")[0] for path in CAMERAS} == {"camera", "rosbag2", *DRIVERS}
    assert all(name in source.description for name in [*DRIVERS, "bag:", "file:", "webcam:", "rtsp://", "demo"])


@pytest.mark.parametrize("source", [*DRIVERS, "bag:/some/bag"])
def test_a_driver_that_is_not_installed_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    with pytest.raises(RuntimeError) as refused:
        processes(DETECT, {"source": source})
    said = str(refused.value)
    package = "ros2bag" if source.startswith("bag:") else source
    install = {"ros2bag": "ros-kilted-rosbag2", "zed_wrapper": "github.com/stereolabs/zed-ros2-wrapper"}
    assert "\n" not in said
    assert f"the package {package} is not installed" in said
    assert install.get(package, f"sudo apt install ros-kilted-{package.replace('_', '-')}") in said
    assert "source:=webcam:0 needs no driver" in said


WRONG = [
    ({"source": "usbcam"}, ["found 'usbcam' (perhaps usb_cam", "expected topic, demo", "zed_wrapper"]),
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
    ({"source": "gscam", "pipeline": "rtsp"}, ["device: pipeline:=rtsp needs the address"]),
    (
        {"source": "gscam", "pipeline": "rtsp", "device": "rtsp://a", "width": "9"},
        ["width: gscam does not take it"],
    ),
    ({"source": "demo", "device": "0"}, ["device: trt_ssd_ros does not take it"]),
    ({"source": "demo", "pipeline": "a ! b"}, ["expected it with source:=gstreamer or gscam"]),
    ({"source": "bag:/no/such/bag"}, ["bag: found no metadata.yaml in '/no/such/bag'"]),
    ({"source": "usb_cam", "log_level": "loud"}, ["log_level", "debug", "warn"]),
    ({"source": "usb_cam", "respawn": "yes"}, ["respawn", "true", "false"]),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: "-".join(map(str, value))[:40])
@pytest.mark.usefixtures("drivers")
def test_a_wrong_value_names_the_right_ones(arguments: dict[str, str], said: list[str]) -> None:
    with pytest.raises((RuntimeError, ValueError)) as refused:
        processes(DETECT, arguments)
    assert all(text in str(refused.value) for text in said), refused.value


@pytest.mark.parametrize(
    ("arguments", "pipeline"),
    [
        ({}, "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1,"),
        (
            {"device": "1", "width": "640", "height": "480", "fps": "60"},
            "sensor-id=1 ! video/x-raw(memory:NVMM),width=640",
        ),
        ({"device": "rtsp://cam/1"}, "rtspsrc location=rtsp://cam/1 protocols=tcp"),
        ({"pipeline": "rtsp_hardware", "device": "rtsp://cam/1"}, "nvv4l2decoder ! nvvidconv"),
        ({"pipeline": "v4l2"}, "v4l2src device=/dev/video0 ! decodebin"),
        ({"pipeline": "videotestsrc ! videoconvert"}, "videotestsrc ! videoconvert"),
    ],
    ids=["csi", "csi set", "address", "hardware", "v4l2", "own"],
)
@pytest.mark.usefixtures("drivers")
def test_pipelines_of_gscam(arguments: dict[str, str], pipeline: str) -> None:
    camera, _ = processes(DETECT, {"source": "gscam", **arguments})
    settings = camera._Node__parameters[-1]
    text = "".join(part.text for part in next(v for k, v in settings.items() if k[0].text == "gscam_config"))
    assert pipeline in text
    assert "sink" not in text, "gscam adds it"


@pytest.mark.usefixtures("drivers")
def test_a_bag_is_played_with_its_clock_and_the_detector_follows_it(bag: Path) -> None:
    player, detector = processes(DETECT, {"source": f"bag:{bag}", "namespace": "robot", "loop": "true"})
    words = command(player)
    assert "trt_ssd_ros.ros.await_subscriber /robot/image_raw /robot/detector ros2 bag play" in words
    assert f"{bag} --clock --delay 2 --topics /front/image_raw /front/camera_info /tf /tf_static" in words
    assert "--remap /front/image_raw:=/robot/image_raw /front/camera_info:=/robot/camera_info" in words
    assert words.endswith("--loop")
    settings = detector._Node__parameters[-1]
    assert any(name[0].text == "use_sim_time" and value is True for name, value in settings.items())


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ({}, "no topic of images"),
        ({"/a": "sensor_msgs/msg/CompressedImage"}, "/a (CompressedImage), expected one topic of images"),
        (dict.fromkeys(("/a", "/b"), "sensor_msgs/msg/Image"), "/a (Image), /b (Image), expected one topic"),
    ],
    ids=["none", "compressed", "two"],
)
@pytest.mark.usefixtures("drivers")
def test_a_bag_whose_images_are_in_doubt(tmp_path: Path, types: dict[str, str], said: str) -> None:
    bag = write_bag(tmp_path / "doubt", types)
    with pytest.raises(ValueError, match="bag: ") as refused:
        processes(DETECT, {"source": f"bag:{bag}"})
    assert said in str(refused.value)
    assert "/image_raw among them" in str(refused.value)


@pytest.mark.usefixtures("drivers")
def test_of_two_cameras_in_a_bag_image_topic_chooses(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "two", dict.fromkeys(("/a/image", "/b/image"), "sensor_msgs/msg/Image"))
    player, _ = processes(DETECT, {"source": f"bag:{bag}", "image_topic": "/b/image"})
    assert "--topics /b/image /tf" in command(player)


def test_metadata_that_is_none(tmp_path: Path, drivers: Path) -> None:  # noqa: ARG001
    (tmp_path / "metadata.yaml").write_text("[1, 2]")
    with pytest.raises(ValueError, match="cannot be read as the metadata of a bag"):
        processes(DETECT, {"source": f"bag:{tmp_path}"})


@pytest.mark.parametrize(
    ("launch_file", "expected"),
    [
        (
            "camera.launch.py",
            {"camera.i_mx_id": "1844", "camera.i_pipeline_type": "RGB", "camera.i_nn_type": "none"},
        ),
        (
            "driver.launch.py",
            {
                "driver.i_device_id": "1844",
                "pipeline_gen.i_pipeline_type": "RGB",
                "pipeline_gen.i_nn_type": "none",
            },
        ),
    ],
    ids=["version 2", "version 3"],
)
def test_both_versions_of_depthai_get_their_parameters(
    drivers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launch_file: str, expected: dict[str, str]
) -> None:
    folder = drivers / "share" / "depthai_ros_driver" / "launch"
    (folder / "camera.launch.py").rename(folder / launch_file)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    processes(DETECT, {"source": "depthai_ros_driver:1844", "fps": "15"})
    [written] = tmp_path.glob("depthai_ros_driver_*.yaml")
    parameters = yaml.safe_load(written.read_text())
    assert parameters["/**"]["ros__parameters"] == {**expected, "rgb.i_fps": 15.0}
    assert parameters["/**/camera"]["ros__parameters"]["frame_id"] == "camera", "what params_file says is kept"


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
def test_xml_can_include_them(tmp_path: Path) -> None:
    path = tmp_path / "robot.launch.xml"
    path.write_text(XML.format(detect=DETECT, camera=LAUNCH / "cameras" / "v4l2_camera.launch.py"))
    camera, detector, second = processes(path, {})
    assert [p.node_package for p in (camera, detector, second)] == ["usb_cam", "trt_ssd_ros", "v4l2_camera"]


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize("respawn", [True, False])
def test_a_driver_that_ends_ends_the_launch_or_is_started_again(respawn: bool) -> None:
    for process in processes(DETECT, {"source": "usb_cam", "respawn": str(respawn).lower()}):
        assert process._ExecuteLocal__respawn is respawn
        assert (process._ExecuteLocal__on_exit is None) is respawn


def test_a_driver_alone_needs_no_detector(drivers: Path) -> None:  # noqa: ARG001
    for path in CAMERAS:
        device: dict[str, Any] = {"device": "/a.jpg"} if path.name.startswith("image_publisher") else {}
        if not path.name.startswith("rosbag2"):
            [camera] = processes(path, device)
            assert camera.node_package in ("trt_ssd_ros", *DRIVERS)
