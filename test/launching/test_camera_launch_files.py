"""What the launch files of single drivers make of their arguments: pipelines, bags, parameter files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from launch_visit import command, processes, settings

from trt_ssd_ros.files import share_folder

pytestmark = pytest.mark.ros

DETECT = share_folder() / "launch" / "detect.launch.py"


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
def test_pipelines_of_gscam(arguments, pipeline):
    camera, _ = processes(DETECT, {"source": "gscam", **arguments})
    text = settings(camera)["gscam_config"]
    assert pipeline in text
    assert "sink" not in text, "gscam adds it"


@pytest.mark.usefixtures("drivers")
def test_a_bag_is_played_with_its_clock_and_the_detector_follows_it(bag):
    player, detector = processes(
        DETECT, {"source": f"bag:{bag}", "namespace": "robot", "loop": "true", "detector_name": "eyes"}
    )
    words = command(player)
    assert "trt_ssd_ros.launching.bag /robot/image_raw /robot/eyes ros2 bag play" in words
    assert f"{bag} --clock --delay 2 --topics /front/image_raw /front/camera_info /tf /tf_static" in words
    assert "--remap /front/image_raw:=/robot/image_raw /front/camera_info:=/robot/camera_info" in words
    assert words.endswith("--loop")
    assert settings(detector)["use_sim_time"] is True


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
def test_a_bag_whose_images_are_in_doubt(tmp_path, types, said):
    bag = write_bag(tmp_path / "doubt", types)
    with pytest.raises(ValueError, match="bag: ") as refused:
        processes(DETECT, {"source": f"bag:{bag}"})
    assert said in str(refused.value)
    assert "image_topic (/image_raw) among them" in str(refused.value)


@pytest.mark.usefixtures("drivers")
def test_of_two_cameras_in_a_bag_image_topic_chooses(tmp_path):
    bag = write_bag(tmp_path / "two", dict.fromkeys(("/a/image", "/b/image"), "sensor_msgs/msg/Image"))
    player, _ = processes(DETECT, {"source": f"bag:{bag}", "image_topic": "/b/image"})
    assert "--topics /b/image /tf" in command(player)


def test_metadata_that_is_none(tmp_path, drivers):  # noqa: ARG001
    (tmp_path / "metadata.yaml").write_text("[1, 2]")
    with pytest.raises(ValueError, match="cannot be read as the metadata of a bag"):
        processes(DETECT, {"source": f"bag:{tmp_path}"})


@pytest.mark.parametrize(
    ("launch_file", "expected"),
    [
        (
            "camera.launch.py",
            ("camera.i_mx_id", "camera"),
        ),
        (
            "driver.launch.py",
            ("driver.i_device_id", "pipeline_gen"),
        ),
    ],
    ids=["version 2", "version 3"],
)
def test_both_versions_of_depthai_get_their_parameters(drivers, tmp_path, monkeypatch, launch_file, expected):
    device, pipeline = expected
    folder = drivers / "share" / "depthai_ros_driver" / "launch"
    (folder / "camera.launch.py").rename(folder / launch_file)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = tmp_path / "mine.yaml"
    general, camera = {f"{pipeline}.i_nn_type": "spatial"}, {"frame_id": "oak", "rgb.i_fps": 30.0}
    sections = {"/**": general, "/**/camera": camera}
    mine.write_text(yaml.safe_dump({node: {"ros__parameters": values} for node, values in sections.items()}))
    processes(DETECT, {"source": "depthai_ros_driver:1844", "fps": "15", "params_file": str(mine)})
    [written] = tmp_path.glob("depthai_ros_driver_*.yaml")
    parameters = yaml.safe_load(written.read_text())
    assert parameters["/**"]["ros__parameters"] == {f"{pipeline}.i_pipeline_type": "RGB", **general}
    assert parameters["/**/camera"]["ros__parameters"] == {"frame_id": "oak", device: "1844", "rgb.i_fps": 15.0}


@pytest.mark.parametrize("content", ["a: [", "[1]"])
def test_parameters_for_depthai_that_are_none(drivers, tmp_path, content):  # noqa: ARG001
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"^params_file: .*mine\.yaml"):
        processes(DETECT, {"source": "depthai_ros_driver", "params_file": str(tmp_path / "mine.yaml")})


def test_a_camera_that_runs_elsewhere_is_not_set_up_from_here():
    with pytest.raises(ValueError, match=r"^device: found '/dev/video2' with source:=topic, expected a source"):
        processes(DETECT, {"device": "/dev/video2"})
